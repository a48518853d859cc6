// One problem: how it was asked, and the samples of the chosen runs side by side.
import type { JSX } from "preact";
import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { type Site, useSite } from "../context";
import { loadProblem, loadSamples } from "../data";
import { feedsFor, type Found, matching, wantedOf } from "../find";
import { useKeys } from "../keys";
import type { Feed, ProblemSet, ProblemText, Samples } from "../model";
import { Chip, Failed, Pairs, SYMBOLS, useLoaded, words } from "../parts";
import { type Folding, Reader } from "../reader";
import { change, link, type Route } from "../route";
import { Typeset } from "../text";
import { visible } from "../visible";

const MOST_SIDE_BY_SIDE = 4;

function Asked({ feed, set, problem }: { feed: Feed; set: ProblemSet; problem: ProblemText }): JSX.Element {
  const [raw, setRaw] = useState(false);
  const text = problem.prompt;
  return (
    <section class="asked">
      {text === undefined ? (
        <p class="notice">
          {set.redacted ? "The problem's text was left out of this report." : `The problem's text is not here. ${set.missing}`}
        </p>
      ) : (
        [...feed.messages, ...(problem.messages ?? [])].map((message, i) => {
          const whole = problem.messages?.includes(message) ? message.content : message.content.split("{problem}").join(text);
          return (
            <div key={i} class="message">
              <span class="role">{visible(message.role)}</span>
              {raw ? <pre class="raw" tabIndex={0}>{visible(whole)}</pre> : <Typeset text={whole} />}
            </div>
          );
        })
      )}
      {text !== undefined && !feed.messages.length && !problem.messages && <Typeset text={text} />}
      {text !== undefined && (
        <button type="button" class="plain" aria-pressed={raw} onClick={() => setRaw(!raw)}>
          {raw ? "typeset" : "raw text"}
        </button>
      )}
      <Pairs
        rows={[
          ...(problem.target ? [["right answer", visible(problem.target)] as [string, string]] : []),
          ...Object.entries(problem.facts ?? {}).map(([name, value]): [string, string] => [visible(words(name)), visible(String(value))]),
        ]}
      />
    </section>
  );
}

interface ColumnProps {
  site: Site;
  route: Route;
  feedAt: number;
  samples: Samples;
  rows: number[];
  chosen: number;
  folding: Folding;
  alone: boolean;
  close: () => void;
}

function Column({ site, route, feedAt, samples, rows, chosen, folding, alone, close }: ColumnProps): JSX.Element {
  const { index } = site;
  const feed = index.feeds[feedAt]!;
  const run = index.runs[feed.run]!;
  const right = rows.filter((at) => samples.status[at] === 0).length;
  return (
    <section class="column" aria-label={site.runLabel(feed.run)}>
      <h2>
        <a href={link("run", [run.key])}>{site.runLabel(feed.run)}</a>{" "}
        <span class="quiet">
          {right} of {rows.length} correct
        </span>
        {!alone && (
          <button type="button" class="plain" aria-label={`take ${site.runLabel(feed.run)} away`} onClick={close}>
            ✕
          </button>
        )}
      </h2>
      <div class="chips" role="group" aria-label="samples">
        {rows.map((at) => {
          const status = index.statuses[samples.status[at]!] ?? "";
          return (
            <button
              key={at}
              type="button"
              class={`tick ${status.replace(/[ _]/g, "-")}`}
              aria-pressed={at === chosen}
              aria-label={`sample ${samples.index[at]}, ${words(status)}`}
              title={`sample ${samples.index[at]}: ${words(status)}`}
              onClick={() => change(route, { [`i.${run.key}`]: samples.index[at] })}
            >
              <span aria-hidden="true">{SYMBOLS[status]}</span>
              {samples.index[at]}
            </button>
          );
        })}
      </div>
      {chosen >= 0 ? (
        <Reader key={`${feedAt} ${chosen}`} feedAt={feedAt} samples={samples} at={chosen} id={`t${feedAt}`} folding={folding} />
      ) : (
        <p class="notice">This run has no sample of the problem yet.</p>
      )}
    </section>
  );
}

// The list that the reader came from, so that n and p step through it.
function useList(site: Site, query: string | null): Found[] {
  const wanted = wantedOf(new URLSearchParams(query && query !== "all" ? query : ""));
  const feeds = query === null ? [] : feedsFor(site, wanted);
  const loaded = useLoaded(
    async () => new Map(await Promise.all(feeds.map(async (feed): Promise<[number, Samples]> => [feed, await loadSamples(feed)]))),
    [query, site.index.version],
  );
  return useMemo(() => (loaded.value && query !== null ? matching(site, loaded.value, wanted) : []), [loaded.value, query]);
}

export function ProblemPage({ route }: { route: Route }): JSX.Element {
  const site = useSite();
  const { index } = site;
  const setAt = Number(route.parts[0]);
  const set = index.problems[setAt];
  const problem = set?.ids.indexOf(route.parts[1] ?? "") ?? -1;
  const feeds = index.feeds.map((feed, at) => ({ feed, at })).filter(({ feed }) => feed.set === setAt);
  const keyOf = (feed: Feed): string => index.runs[feed.run]?.key ?? "";
  const named = (route.query.get("runs") ?? "").split("|").filter(Boolean);
  const shown = named.length ? feeds.filter(({ feed }) => named.includes(keyOf(feed))) : feeds.slice(0, MOST_SIDE_BY_SIDE);
  const loaded = useLoaded(() => Promise.all(feeds.map(({ at }) => loadSamples(at))), [setAt, index.version]);
  const text = useLoaded(() => (problem < 0 || !set ? Promise.resolve({}) : loadProblem(setAt, problem, set.pieceSize)), [setAt, problem, index.version]);
  const [open, setOpen] = useState(route.query.get("fold") === "no");
  const [raw, setRaw] = useState(false);
  const folding: Folding = { open, raw, setOpen };
  const list = useList(site, route.query.get("in"));
  const samplesOf = (feedAt: number): Samples | null => loaded.value?.[feeds.findIndex(({ at }) => at === feedAt)] ?? null;
  const columns = shown.map(({ feed, at }) => {
    const samples = samplesOf(at);
    const rows = samples ? samples.problem.flatMap((p, i) => (p === problem ? [i] : [])) : [];
    const wanted = route.query.get(`i.${keyOf(feed)}`);
    const chosen = rows.find((i) => String(samples?.index[i]) === wanted) ?? rows[0] ?? -1;
    return { feed, at, samples, rows, chosen };
  });
  const first = columns[0];
  const inList = route.query.get("in");

  // where the last key led: a second one may come before the page is there; forgotten as soon as it is, not a frame later
  const aim = useRef<{ sample: number | null; problem: number | null }>({ sample: null, problem: null });
  const address = `${route.parts.join("/")}?${route.query.toString()}`;
  useLayoutEffect(() => {
    aim.current = { sample: null, problem: null };
  }, [address]);
  const step = (by: number): void => {
    if (!first?.samples) return;
    if (inList !== null) {
      const from = aim.current.sample ?? list.findIndex((one) => one.feed === first.at && one.at === first.chosen);
      const next = list[from + by];
      if (!next) return;
      aim.current.sample = from + by;
      const feed = index.feeds[next.feed]!;
      const key = keyOf(feed);
      loadSamples(next.feed).then((samples) => {
        const id = index.problems[feed.set]?.ids[samples.problem[next.at]!] ?? "";
        location.replace(link("problem", [feed.set, id], { runs: key, [`i.${key}`]: samples.index[next.at], in: inList }));
      }, console.error);
      return;
    }
    const from = aim.current.sample ?? first.rows.indexOf(first.chosen);
    const next = first.rows[from + by];
    if (next === undefined) return;
    aim.current.sample = from + by;
    change(route, { [`i.${keyOf(first.feed)}`]: first.samples.index[next] });
  };
  const move = (by: number): void => {
    const to = (aim.current.problem ?? problem) + by;
    const id = set?.ids[to];
    if (id === undefined) return;
    aim.current.problem = to;
    location.replace(link("problem", [setAt, id], { runs: route.query.get("runs") }));
  };
  useKeys({
    n: () => step(1),
    p: () => step(-1),
    j: () => move(1),
    k: () => move(-1),
    o: () => setOpen(!open),
    r: () => setRaw(!raw),
  });
  if (!set || problem < 0) return <p class="notice">There is no such problem in this report.</p>;
  const here = inList !== null && first ? list.findIndex((one) => one.feed === first.at && one.at === first.chosen) : -1;
  return (
    <>
      <p class="quiet">
        <a href={link("task", [setAt])}>{set.title}</a> · problem {problem + 1} of {set.ids.length}
        {here >= 0 && (
          <>
            {" "}
            · sample {here + 1} of {list.length} of <a href={`#/samples${inList && inList !== "all" ? `?${inList}` : ""}`}>the list</a>
          </>
        )}
      </p>
      <h1>{set.ids[problem]}</h1>
      <div class="steps">
        <button type="button" class="chip" onClick={() => step(-1)}>← sample <kbd>p</kbd></button>
        <button type="button" class="chip" onClick={() => step(1)}>sample → <kbd>n</kbd></button>
        <button type="button" class="chip" onClick={() => move(-1)} disabled={problem === 0}>↑ problem <kbd>k</kbd></button>
        <button type="button" class="chip" onClick={() => move(1)} disabled={problem === set.ids.length - 1}>↓ problem <kbd>j</kbd></button>
        <button type="button" class="chip" aria-pressed={open} onClick={() => setOpen(!open)}>{open ? "fold" : "unfold"} thinking <kbd>o</kbd></button>
        <button type="button" class="chip" aria-pressed={raw} onClick={() => setRaw(!raw)}>raw text <kbd>r</kbd></button>
      </div>
      <Failed error={loaded.error || text.error} />
      {first && text.value && <Asked feed={first.feed} set={set} problem={text.value} />}
      {feeds.length > 1 && (
        <fieldset class="filters">
          <legend>Side by side</legend>
          {feeds.map(({ feed, at }) => {
            const on = shown.some((one) => one.at === at);
            const others = shown.map((one) => keyOf(one.feed)).filter((key) => key !== keyOf(feed));
            return (
              <Chip key={at} on={on} press={() => change(route, { runs: (on ? (others.length ? others : [keyOf(feed)]) : [...others, keyOf(feed)]).join("|") })}>
                {site.runLabel(feed.run)}
              </Chip>
            );
          })}
        </fieldset>
      )}
      <div class="columns" style={{ "--columns": String(columns.length) }}>
        {columns.map(({ feed, at, samples, rows, chosen }) =>
          samples ? (
            <Column
              key={at}
              site={site}
              route={route}
              feedAt={at}
              samples={samples}
              rows={rows}
              chosen={chosen}
              folding={folding}
              alone={columns.length < 2}
              close={() => change(route, { runs: shown.map((one) => keyOf(one.feed)).filter((key) => key !== keyOf(feed)).join("|") })}
            />
          ) : null,
        )}
      </div>
    </>
  );
}
