import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { useSite } from "../context";
import { loadSamples } from "../data";
import { Histogram, lengthsOf } from "../histogram";
import type { Samples } from "../model";
import { Chip, count, Drawn, Failed, Name, Scroll, useLoaded } from "../parts";
import { change, link, type Route } from "../route";
import { useKeys } from "../keys";
import { useCursor } from "./cursor";

interface Rate {
  right: number;
  of: number;
}
const MOST_ROWS = 200;

function ratesOf(samples: Samples | undefined, problems: number): Rate[] {
  const found = Array.from({ length: problems }, () => ({ right: 0, of: 0 }));
  samples?.problem.forEach((problem, i) => {
    const one = found[problem]!;
    one.of += 1;
    one.right += samples.status[i] === 0 ? 1 : 0;
  });
  return found;
}

function shade(rate: Rate): Record<string, string> {
  return rate.of ? { "--share": `${Math.round((100 * rate.right) / rate.of)}%` } : {};
}

function Groups({ name, values, rates, labels, filter, current }: { name: string; values: (string | null)[]; rates: Rate[][]; labels: string[]; filter: (value: string) => void; current: string }): JSX.Element {
  const kinds = [...new Set(values)].filter((v): v is string => v !== null).sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  return (
    <section>
      <h2>By {name}</h2>
      <Scroll label={`Solve rates by ${name}`}>
        <table class="dense">
          <thead>
            <tr>
              <th scope="col" class="name">{name}</th>
              <th scope="col">problems</th>
              {labels.map((label) => <th key={label} scope="col">{label}</th>)}
            </tr>
          </thead>
          <tbody>
            {kinds.map((kind) => (
              <tr key={kind}>
                <th scope="row" class="name">
                  <button type="button" class="plain" aria-pressed={current === kind} onClick={() => filter(current === kind ? "" : kind)}>{kind}</button>
                </th>
                <td>{values.filter((v) => v === kind).length}</td>
                {rates.map((of, run) => {
                  const sum = of.reduce((s, r, i) => (values[i] === kind ? { right: s.right + r.right, of: s.of + r.of } : s), { right: 0, of: 0 });
                  return <td key={run} class="rate" style={shade(sum)}>{sum.of ? `${((100 * sum.right) / sum.of).toFixed(1)}%` : "–"}</td>;
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

export function TaskPage({ route }: { route: Route }): JSX.Element {
  const site = useSite();
  const setAt = Number(route.parts[0]);
  const set = site.index.problems[setAt];
  const feeds = site.index.feeds.map((feed, at): [typeof feed, number] => [feed, at]).filter(([feed]) => feed.set === setAt);
  const keys = feeds.map(([feed]) => site.index.runs[feed.run]?.key ?? "");
  const without = new Set((route.query.get("without") ?? "").split("|").filter(Boolean));
  const chosen = feeds.filter((_, i) => !without.has(keys[i] ?? ""));
  const loaded = useLoaded(() => Promise.all(feeds.map(([, at]) => loadSamples(at))), [setAt, site.index.version]);
  const rates = useMemo(
    () => chosen.map(([feed]) => ratesOf(loaded.value?.[feeds.findIndex(([f]) => f === feed)], set?.ids.length ?? 0)),
    [loaded.value, route.query.get("without"), setAt],
  );
  const subject = route.query.get("subject") ?? "";
  const level = route.query.get("level") ?? "";
  const sort = route.query.get("sort") ?? "rate";
  const order = useMemo(() => {
    const found = (set?.ids ?? []).map((_, i) => i).filter((i) => (!subject || set?.subjects?.[i] === subject) && (!level || set?.levels?.[i] === level));
    const mean = (i: number): number => {
      const all = rates.map((r) => r[i]).filter((r): r is Rate => Boolean(r?.of));
      return all.length ? all.reduce((s, r) => s + r.right / r.of, 0) / all.length : 2;
    };
    if (sort === "rate") found.sort((a, b) => mean(a) - mean(b) || a - b);
    if (sort === "easiest") found.sort((a, b) => mean(b) - mean(a) || a - b);
    if (sort === "spread") {
      const spread = (i: number): number => {
        const all = rates.map((r) => r[i]).filter((r): r is Rate => Boolean(r?.of)).map((r) => r.right / r.of);
        return all.length ? Math.max(...all) - Math.min(...all) : 0;
      };
      found.sort((a, b) => spread(b) - spread(a) || a - b);
    }
    return found;
  }, [rates, subject, level, sort, setAt]);
  const limit = Number(route.query.get("most")) || MOST_ROWS;
  const cursor = useCursor(Math.min(order.length, limit));
  useKeys({
    j: cursor.next,
    k: cursor.before,
    Enter: cursor.open,
  });
  if (!set) return <p class="notice">There is no such task in this report.</p>;
  const lengths = loaded.value && feeds.length ? feeds.map(([feed], i) => ({ feed, lengths: lengthsOf(loaded.value![i]!.tokens, loaded.value![i]!.status, site.index.statuses.length) })) : [];
  const labels = chosen.map(([feed]) => site.runLabel(feed.run));
  return (
    <>
      <h1>{set.title}</h1>
      <p class="quiet">
        {count(set.ids.length)} problems · {feeds.length} run{feeds.length === 1 ? "" : "s"} · <a href={link("samples", [], { task: set.name })}>all samples</a>
        {set.redacted ? " · the problems' texts were left out" : ""}
      </p>
      {set.missing && <p class="notice">The problems' texts are not here: {set.missing}</p>}
      <Failed error={loaded.error} />
      {feeds.length > 1 && (
        <fieldset class="filters">
          <legend>Runs</legend>
          {feeds.map(([feed], i) => (
            <Chip
              key={keys[i]}
              on={!without.has(keys[i] ?? "")}
              press={() => {
                const now = new Set(without);
                if (!now.delete(keys[i] ?? "")) now.add(keys[i] ?? "");
                change(route, { without: [...now].join("|") });
              }}
            >
              {site.runLabel(feed.run)}
            </Chip>
          ))}
        </fieldset>
      )}
      {set.subjects && <Groups name="subject" values={set.subjects} rates={rates} labels={labels} filter={(v) => change(route, { subject: v })} current={subject} />}
      {set.levels && <Groups name="level" values={set.levels} rates={rates} labels={labels} filter={(v) => change(route, { level: v })} current={level} />}
      <section>
        <h2>Problems{subject || level ? `: ${[subject, level && `level ${level}`].filter(Boolean).join(", ")}` : ""}</h2>
        <label class="quiet">
          Order{" "}
          <select value={sort} onChange={(e) => change(route, { sort: e.currentTarget.value })}>
            <option value="rate">hardest first</option>
            <option value="easiest">easiest first</option>
            <option value="spread">runs differ most</option>
            <option value="set">as in the data set</option>
          </select>
        </label>
        <Scroll label="Solve rates by problem">
          <table class="dense problems">
            <thead>
              <tr>
                <th scope="col" class="name">problem</th>
                {set.subjects && <th scope="col" class="name">subject</th>}
                {set.levels && <th scope="col">level</th>}
                <th scope="col" class="name">right answer</th>
                {labels.map((label) => <th key={label} scope="col">{label}</th>)}
              </tr>
            </thead>
            <tbody>
              {order.slice(0, limit).map((i, at) => (
                <tr key={i} ref={cursor.row(at)}>
                  <th scope="row" class="name">
                    <a href={link("problem", [setAt, set.ids[i] ?? ""], { runs: chosen.length < feeds.length ? chosen.map(([f]) => site.index.runs[f.run]?.key).join("|") : null })}><Name text={set.ids[i] ?? ""} /></a>
                  </th>
                  {set.subjects && <td class="name">{set.subjects[i]}</td>}
                  {set.levels && <td>{set.levels[i]}</td>}
                  <td class="name clip">{set.gold[i] ?? "–"}</td>
                  {rates.map((of, run) => {
                    const rate = of[i]!;
                    return <td key={run} class="rate" style={shade(rate)}>{rate.of ? `${rate.right}/${rate.of}` : "–"}</td>;
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
        {order.length > limit && (
          <button type="button" class="chip" onClick={() => change(route, { most: limit + 1000 })}>
            {count(order.length - limit)} more
          </button>
        )}
      </section>
      <section>
        <h2>Lengths</h2>
        {lengths.map(({ feed, lengths: found }, i) => found && <Histogram key={i} lengths={found} names={site.index.statuses} title={site.runLabel(feed.run)} />)}
      </section>
      {(site.index.pictures[`task ${set.name}`] ?? []).length > 0 && (
        <section>
          <h2>Pictures</h2>
          <div class="pictures">{site.index.pictures[`task ${set.name}`]?.map((p) => <Drawn key={p.file} picture={p} />)}</div>
        </section>
      )}
    </>
  );
}
