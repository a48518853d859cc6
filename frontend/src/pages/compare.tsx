import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { useSite } from "../context";
import { loadSamples } from "../data";
import type { Compared, Samples } from "../model";
import { count, Failed, Name, Scroll, signed, useLoaded } from "../parts";
import { change, link, type Route } from "../route";

const interval = (pair: [number | null, number | null]): string =>
  pair[0] === null || pair[1] === null ? "–" : `[${signed(100 * pair[0])}, ${signed(100 * pair[1])}]`;
const pValue = (p: number): string => (p < 0.0001 ? "< 0.0001" : p.toFixed(4));

interface Flip {
  problem: number;
  before: number;
  after: number;
  a: string;
  b: string;
}

function rates(samples: Samples): Map<number, [number, number]> {
  const found = new Map<number, [number, number]>();
  samples.problem.forEach((problem, i) => {
    const [right, of] = found.get(problem) ?? [0, 0];
    found.set(problem, [right + (samples.status[i] === 0 ? 1 : 0), of + 1]);
  });
  return found;
}

function Difference({ one }: { one: Compared }): JSX.Element {
  const ends = [...one.interval_run, ...one.interval_problems.map((v) => v ?? 0), one.difference, 0];
  const most = Math.max(...ends.map(Math.abs), 0.02);
  const at = (v: number): number => 50 + (50 * v) / most;
  return (
    <svg class="interval" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" x="0" y="4.4" width="100" height="1.2" />
      <rect class="zero" x="49.6" y="0" width="0.8" height="10" />
      <rect class="run-to-run" x={at(one.interval_run[0])} y="2" width={Math.max(at(one.interval_run[1]) - at(one.interval_run[0]), 0.8)} height="6" />
      {one.interval_problems[0] !== null && one.interval_problems[1] !== null && (
        <rect class="over-problems" x={at(one.interval_problems[0])} y="4.3" width={Math.max(at(one.interval_problems[1]) - at(one.interval_problems[0]), 0.8)} height="1.4" />
      )}
      <rect class="value" x={at(one.difference) - 0.5} y="0" width="1" height="10" />
    </svg>
  );
}

function FlipList({ title, flips, setAt, runs }: { title: string; flips: Flip[]; setAt: number; runs: [string, string] }): JSX.Element {
  const { index } = useSite();
  const set = index.problems[setAt]!;
  return (
    <section class="flips">
      <h3>
        {title} <span class="quiet">{count(flips.length)}</span>
      </h3>
      {flips.length > 0 && (
        <Scroll label={title}>
          <table class="dense">
            <thead>
              <tr>
                <th scope="col" class="name">problem</th>
                <th scope="col">A</th>
                <th scope="col">B</th>
              </tr>
            </thead>
            <tbody>
              {flips.slice(0, 100).map((flip) => (
                <tr key={flip.problem}>
                  <th scope="row" class="name">
                    <a href={link("problem", [setAt, set.ids[flip.problem] ?? ""], { runs: runs.join("|") })}><Name text={set.ids[flip.problem] ?? ""} /></a>
                  </th>
                  <td>{flip.a}</td>
                  <td>{flip.b}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
    </section>
  );
}

function Flips({ a, b }: { a: number; b: number }): JSX.Element | null {
  const { index } = useSite();
  const loaded = useLoaded(() => Promise.all([loadSamples(a), loadSamples(b)]), [a, b, index.version]);
  const feedA = index.feeds[a]!;
  const feedB = index.feeds[b]!;
  const flips = useMemo(() => {
    if (!loaded.value) return [];
    const [before, after] = loaded.value.map(rates) as [Map<number, [number, number]>, Map<number, [number, number]>];
    const found: Flip[] = [];
    for (const [problem, [right, of]] of before) {
      const other = after.get(problem);
      if (!other || right / of === other[0] / other[1]) continue;
      found.push({ problem, before: right / of, after: other[0] / other[1], a: `${right}/${of}`, b: `${other[0]}/${other[1]}` });
    }
    return found.sort((x, y) => Math.abs(y.after - y.before) - Math.abs(x.after - x.before));
  }, [loaded.value]);
  const runs: [string, string] = [index.runs[feedA.run]?.key ?? "", index.runs[feedB.run]?.key ?? ""];
  return (
    <>
      <Failed error={loaded.error} />
      <div class="twocolumns">
        <FlipList title="Gained: B solves it more often" flips={flips.filter((f) => f.after > f.before)} setAt={feedA.set} runs={runs} />
        <FlipList title="Lost: B solves it less often" flips={flips.filter((f) => f.after < f.before)} setAt={feedA.set} runs={runs} />
      </div>
    </>
  );
}

export function ComparePage({ route }: { route: Route }): JSX.Element {
  const site = useSite();
  const { index } = site;
  const pick = (name: string, otherwise: number): number => {
    const found = site.runOf(route.query.get(name));
    return found >= 0 ? found : otherwise;
  };
  const a = pick("a", 0);
  const b = pick("b", Math.min(1, index.runs.length - 1));
  const select = (name: string, value: number): JSX.Element => (
    <label>
      {name.toUpperCase()}{" "}
      <select value={index.runs[value]?.key} onChange={(e) => change(route, { [name]: e.currentTarget.value })}>
        {index.runs.map((run, i) => <option key={run.key} value={run.key}>{site.runLabel(i)}</option>)}
      </select>
    </label>
  );
  if (index.runs.length < 2) {
    return (
      <>
        <h1>Compare</h1>
        <p class="notice">This report has one run. With two or more, two of them are compared here, problem by problem.</p>
      </>
    );
  }
  const pair = index.comparisons.find((c) => (c.a === a && c.b === b) || (c.a === b && c.b === a));
  const turned = pair?.a === b;
  const turn = (t: Compared): Compared =>
    turned
      ? {
          ...t,
          difference: -t.difference,
          interval_run: [-t.interval_run[1], -t.interval_run[0]],
          interval_problems: t.interval_problems[0] === null || t.interval_problems[1] === null ? t.interval_problems : [-t.interval_problems[1], -t.interval_problems[0]],
          a: t.b,
          b: t.a,
        }
      : t;
  const tasks = (pair?.tasks ?? []).map(turn);
  const shared = site.feedsOf(a).flatMap((feed) => {
    const other = site.feedsOf(b).find((f) => index.feeds[f]?.set === index.feeds[feed]?.set);
    return other === undefined ? [] : [[feed, other] as [number, number]];
  });
  return (
    <>
      <h1>Compare</h1>
      <form class="filters" onSubmit={(e) => e.preventDefault()}>
        {select("a", a)} {select("b", b)}
        <button type="button" class="chip" onClick={() => change(route, { a: index.runs[b]?.key, b: index.runs[a]?.key })}>swap</button>
      </form>
      {a === b && <p class="notice">A and B are the same run.</p>}
      {pair?.error && <p class="notice">{pair.error}</p>}
      {tasks.length > 0 && (
        <>
          <Scroll label="Differences by task">
            <table>
              <thead>
                <tr>
                  {["task", "problems", "A", "B", "B − A", "", "run to run", "over problems", "p", "Holm"].map((name, i) => (
                    <th key={i} scope="col" class={i ? "" : "name"}>{name || <span class="hidden">interval</span>}</th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {tasks.map((t) => (
                  <tr key={t.task}>
                    <th scope="row" class="name">{t.title}</th>
                    <td>{count(t.problems)}</td>
                    <td>{(100 * t.a.value).toFixed(1)}</td>
                    <td>{(100 * t.b.value).toFixed(1)}</td>
                    <td class={t.adjusted < 0.05 ? "best" : ""}>{signed(100 * t.difference)}</td>
                    <td><Difference one={t} /></td>
                    <td>{interval(t.interval_run)}</td>
                    <td>{interval(t.interval_problems)}</td>
                    <td>{pValue(t.p)}</td>
                    <td>{pValue(t.adjusted)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <p class="quiet">B minus A in points, paired by problem, with 95% intervals. p: sign-flip permutation test over problems; Holm: adjusted for the number of tasks. Bold: p below 0.05 after Holm.</p>
          {tasks.filter((t) => t.differences.length).map((t) => <p key={t.task} class="notice">{t.title}: other settings: {t.differences.join("; ")}.</p>)}
          {tasks.filter((t) => t.leftOut).map((t) => <p key={t.task} class="notice">{t.title}: {t.leftOut} problems that only one of them has were left out.</p>)}
        </>
      )}
      {a !== b && !pair && shared.length > 0 && (
        <p class="notice">
          {index.comparisonsLeftOut ? "This pair was not tested, since there are many runs: `evalkit compare` tests it." : "A test needs two complete runs with a task in common."}
        </p>
      )}
      {a !== b &&
        shared.map(([first, second]) => (
          <section key={first}>
            <h2>{index.feeds[first]?.title}</h2>
            <Flips a={first} b={second} />
          </section>
        ))}
      {a !== b && !shared.length && <p class="notice">These runs have no task in common.</p>}
    </>
  );
}
