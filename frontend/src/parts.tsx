// What several pages are made of.
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import type { Metric, Picture, WordTable } from "./model";

export const SYMBOLS: Record<string, string> = {
  correct: "✓",
  wrong: "✗",
  no_answer: "∅",
  truncated: "✂",
  error: "!",
  "not scored": "…",
};

export const FLAG_HELP: Record<string, string> = {
  "nothing found": "the parser found no answer",
  "right answer missed": "the right answer is stated outside the thinking, but the sample is not correct",
  "right answer in thinking only": "the right answer is stated in the thinking, and the sample is not correct",
  cut: "stopped at the token limit or for repetition",
  repeats: "a stretch of the text repeats itself",
  disputed: "a second grader judges otherwise, and no person has decided",
  decided: "a person has decided",
};

export const words = (name: string): string => name.replace(/_/g, " ");
export const count = (value: number): string => value.toLocaleString("en-US");
export const percent = (share: number | null | undefined, digits = 1): string =>
  share === null || share === undefined ? "–" : `${(100 * share).toFixed(digits)}%`;
export const signed = (value: number, digits = 1): string =>
  `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

// A name or an id that may break behind a slash or an underscore rather than inside a word or a number.
export function Name({ text }: { text: string }): JSX.Element {
  const parts = text.split(/(?<=[/_])/);
  return <>{parts.map((part, i) => (i ? [<wbr />, part] : part))}</>;
}

export function Status({ name }: { name: string }): JSX.Element {
  return (
    <span class={`status ${name.replace(/[ _]/g, "-")}`}>
      <span aria-hidden="true">{SYMBOLS[name] ?? "?"}</span> {words(name)}
    </span>
  );
}

// A metric's intervals on a scale: run to run thick, over problems thin, the value as a line.
export function Interval({ metric, low = 0, high = 100 }: { metric: Metric; low?: number; high?: number }): JSX.Element | null {
  if (metric.value === null) return null;
  const at = (value: number): number => Math.max(0, Math.min(100, (100 * (value - low)) / (high - low || 1)));
  const bar = (pair: [number, number] | null, y: number, height: number, name: string): JSX.Element | null =>
    pair && (
      <rect class={name} x={at(pair[0])} y={y} width={Math.max(at(pair[1]) - at(pair[0]), 0.8)} height={height} />
    );
  return (
    <svg class="interval" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" x="0" y="4.4" width="100" height="1.2" />
      {bar(metric.run, 2, 6, "run-to-run")}
      {bar(metric.problems, 4.3, 1.4, "over-problems")}
      {metric.problems?.map((end, i) => <rect key={i} class="over-problems" x={at(end) - (i ? 0.6 : 0)} y="2.6" width="0.6" height="4.8" />)}
      <rect class="value" x={Math.max(at(metric.value) - 0.5, 0)} y="0" width="1" height="10" />
    </svg>
  );
}

// Counts by status as one bar; the same is told in words beside it.
export function Shares({ names, counts }: { names: string[]; counts: number[] }): JSX.Element {
  const total = counts.reduce((sum, n) => sum + n, 0) || 1;
  let x = 0;
  return (
    <svg class="shares" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      {counts.map((n, i) => {
        const width = (100 * n) / total;
        const part = <rect class={`fill-${(names[i] ?? "").replace(/[ _]/g, "-")}`} x={x} y="0" width={width} height="8" />;
        x += width;
        return n ? part : null;
      })}
    </svg>
  );
}

export function Scroll({ label, children }: { label: string; children: ComponentChildren }): JSX.Element {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}

export function Pairs({ rows }: { rows: [string, ComponentChildren][] }): JSX.Element {
  return (
    <dl class="pairs">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Words({ table }: { table: WordTable }): JSX.Element {
  const kind = (i: number): string => (i === 0 ? "name" : table.words.includes(i) ? "long" : "figure");
  return (
    <section>
      <h2>{table.heading}</h2>
      {table.caption && <p class="quiet">{table.caption}</p>}
      <Scroll label={table.heading}>
        <table class="words">
          <thead>
            <tr>
              {table.columns.map((column, i) => (
                <th key={i} scope="col" class={kind(i)}>
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {table.rows.map((row, at) => (
              <tr key={at}>
                {row.map((cell, i) =>
                  i ? (
                    <td key={i} class={kind(i)}>
                      {cell}
                    </td>
                  ) : (
                    <th key={i} scope="row" class="name">
                      {cell}
                    </th>
                  ),
                )}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

// A picture of the tool's own. Its points are told under the pointer, and with the arrow keys.
export function Drawn({ picture }: { picture: Picture }): JSX.Element {
  const [at, setAt] = useState(-1);
  const frame = useRef<HTMLDivElement>(null);
  const point = picture.points[at];
  const near = (event: PointerEvent): void => {
    const box = frame.current?.getBoundingClientRect();
    if (!box) return;
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    let best = -1;
    let least = 0.05 * 0.05;
    picture.points.forEach(([px, py], i) => {
      const distance = (px - x) ** 2 + ((py - y) * (picture.height / picture.width)) ** 2;
      if (distance < least) [best, least] = [i, distance];
    });
    setAt(best);
  };
  const keys = (event: KeyboardEvent): void => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step === undefined || !picture.points.length) return;
    event.preventDefault();
    setAt((before) => (before + step + picture.points.length) % picture.points.length);
  };
  return (
    <figure class="drawn" style={{ maxWidth: `${picture.width}px` }}>
      <figcaption>{picture.title}</figcaption>
      <div
        ref={frame}
        class="frame"
        tabIndex={picture.points.length ? 0 : -1}
        role="group"
        aria-label={`${picture.title}: arrow keys tell its points`}
        onPointerMove={near}
        onPointerLeave={() => setAt(-1)}
        onKeyDown={keys}
        onBlur={() => setAt(-1)}
      >
        <img src={picture.file} alt={picture.title} width={picture.width} height={picture.height} loading="lazy" />
        {point && (
          <>
            <span class="dot" style={{ left: `${100 * point[0]}%`, top: `${100 * point[1]}%` }} />
            <span class={`tip${point[0] > 0.6 ? " left" : ""}`} style={{ left: `${100 * point[0]}%`, top: `${100 * point[1]}%` }} role="status">
              {point[2]}
            </span>
          </>
        )}
      </div>
    </figure>
  );
}

// A value that is loaded; the old one stays while the next comes.
export function useLoaded<T>(load: () => Promise<T>, basis: unknown[]): { value: T | null; error: string } {
  const [state, setState] = useState<{ value: T | null; error: string }>({ value: null, error: "" });
  useEffect(() => {
    let current = true;
    load().then(
      (value) => current && setState({ value, error: "" }),
      (error: unknown) => current && setState((before) => ({ ...before, error: String(error) })),
    );
    return () => {
      current = false;
    };
  }, basis);
  return state;
}

export function Failed({ error }: { error: string }): JSX.Element | null {
  return error ? <p class="failed" role="alert">{error}</p> : null;
}

export function Chip({ on, children, press, title }: { on: boolean; children: ComponentChildren; press: () => void; title?: string }): JSX.Element {
  return (
    <button type="button" class="chip" aria-pressed={on} onClick={press} title={title}>
      {children}
    </button>
  );
}
