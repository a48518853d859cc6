// How many completions have which length, by status: uPlot on a canvas, and the same numbers as a table.
import type { JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { count, Scroll, words } from "./parts";

const BINS = 30;

export interface Lengths {
  edges: number[];
  counts: number[][]; // by status, then bin
}

export function lengthsOf(tokens: (number | null)[], statuses: number[], kinds: number): Lengths | null {
  const known = tokens.filter((t): t is number => t !== null);
  if (!known.length) return null;
  const longest = known.reduce((a, b) => Math.max(a, b), 1);
  const width = Math.max(1, longest / BINS);
  const counts = Array.from({ length: kinds }, () => new Array<number>(BINS).fill(0));
  tokens.forEach((t, i) => {
    if (t !== null) counts[statuses[i] ?? 0]![Math.min(BINS - 1, Math.floor(t / width))]! += 1;
  });
  return { edges: Array.from({ length: BINS + 1 }, (_, i) => i * width), counts };
}

export function Histogram({ lengths, names, title }: { lengths: Lengths; names: string[]; title: string }): JSX.Element {
  const holder = useRef<HTMLDivElement>(null);
  const [told, setTold] = useState("");
  const shown = names.map((name, i) => ({ name, counts: lengths.counts[i] ?? [] })).filter((s) => s.counts.some(Boolean));
  useEffect(() => {
    const place = holder.current;
    if (!place) return;
    const css = getComputedStyle(place);
    const colour = (name: string): string => css.getPropertyValue(name).trim() || "#888";
    const middle = lengths.edges.slice(0, -1).map((e, i) => (e + (lengths.edges[i + 1] ?? e)) / 2);
    const sums = shown.map((_, i) => middle.map((_m, b) => shown.slice(0, i + 1).reduce((sum, s) => sum + (s.counts[b] ?? 0), 0)));
    const bars = uPlot.paths.bars!({ size: [1, 1000], gap: 1 });
    const axis = { stroke: colour("--ink"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, font: "12px system-ui" };
    const plot = new uPlot(
      {
        width: place.clientWidth || 600,
        height: 220,
        legend: { show: false },
        cursor: { y: false, points: { show: false } },
        scales: { x: { time: false, range: [0, lengths.edges.at(-1) ?? 1] }, y: { range: (_u, _low, high) => [0, Math.max(high, 1) * 1.05] } },
        axes: [
          { ...axis, label: "tokens per completion", labelFont: "12px system-ui", labelSize: 20 },
          { ...axis, label: "completions", labelFont: "12px system-ui", labelSize: 20, size: 44 },
        ],
        series: [{}, ...sums.map((_, i) => ({ paths: bars, points: { show: false }, fill: colour(`--${(shown[shown.length - 1 - i]?.name ?? "").replace(/[ _]/g, "-")}`), width: 0, stroke: "transparent" }))],
        hooks: {
          setCursor: [
            (u) => {
              const at = u.cursor.idx;
              if (at === null || at === undefined || (u.cursor.left ?? -1) < 0) return setTold("");
              const range = `${count(Math.round(lengths.edges[at] ?? 0))} to ${count(Math.round(lengths.edges[at + 1] ?? 0))} tokens`;
              setTold(`${range}: ${shown.map((s) => `${s.counts[at] ?? 0} ${words(s.name)}`).join(", ")}`);
            },
          ],
        },
      },
      [middle, ...sums.slice().reverse()],
      place,
    );
    const resized = new ResizeObserver(() => plot.setSize({ width: place.clientWidth || 600, height: 220 }));
    resized.observe(place);
    return () => {
      resized.disconnect();
      plot.destroy();
    };
  }, [lengths, names.join(), document.documentElement.dataset.theme]);
  return (
    <figure class="histogram">
      <figcaption>{title}</figcaption>
      <div ref={holder} role="img" aria-label={`${title}; the numbers are in the table below`} />
      <p class="legend">
        {shown.map((s) => (
          <span key={s.name}>
            <span class={`swatch fill-${s.name.replace(/[ _]/g, "-")}`} aria-hidden="true" /> {words(s.name)}
          </span>
        ))}
        <span class="told" role="status">{told}</span>
      </p>
      <details>
        <summary>As a table</summary>
        <Scroll label={title}>
          <table class="dense">
            <thead>
              <tr>
                <th scope="col">tokens</th>
                {shown.map((s) => (
                  <th key={s.name} scope="col">{words(s.name)}</th>
                ))}
              </tr>
            </thead>
            <tbody>
              {lengths.edges.slice(0, -1).map((edge, b) =>
                shown.some((s) => s.counts[b]) ? (
                  <tr key={b}>
                    <th scope="row">{`${count(Math.round(edge))} to ${count(Math.round(lengths.edges[b + 1] ?? 0))}`}</th>
                    {shown.map((s) => (
                      <td key={s.name}>{s.counts[b]}</td>
                    ))}
                  </tr>
                ) : null,
              )}
            </tbody>
          </table>
        </Scroll>
      </details>
    </figure>
  );
}
