import type { JSX } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { useSite } from "../context";
import { loadSamples } from "../data";
import { feedsFor, type Found, matching, wantedOf } from "../find";
import { useKeys } from "../keys";
import type { Samples } from "../model";
import { Chip, count, Failed, FLAG_HELP, Name, Scroll, Status, SYMBOLS, useLoaded, words } from "../parts";
import { Flags } from "../reader";
import { change, link, type Route } from "../route";
import { type Hit, type Progress, startSearch } from "../search";
import { oneLine } from "../visible";
import { useCursor } from "./cursor";

const PER_PAGE = 100;

function useSearch(text: string, pieces: number[], ready: boolean): Progress | null {
  const { index } = useSite();
  const [progress, setProgress] = useState<Progress | null>(null);
  const basis = pieces.length ? `${pieces[0]} ${pieces.at(-1)} ${pieces.length}` : "";
  useEffect(() => {
    if (!text || !ready) {
      setProgress(null);
      return;
    }
    return startSearch(text, pieces, index.grams, setProgress);
  }, [text, basis, ready, index.version]);
  return progress;
}

function Filters({ route, counts, verdicts }: { route: Route; counts: { statuses: number[]; flags: number[] }; verdicts: string[] }): JSX.Element {
  const { index, runLabel } = useSite();
  const wanted = wantedOf(route.query);
  const field = useRef<HTMLInputElement>(null);
  const [typed, setTyped] = useState(wanted.text);
  const before = useRef(wanted.text);
  useEffect(() => {
    if (before.current !== wanted.text) setTyped(wanted.text);
    before.current = wanted.text;
  }, [wanted.text]);
  useKeys({ "/": () => field.current?.focus() });
  const toggle = (list: string[], name: string): string => (list.includes(name) ? list.filter((n) => n !== name) : [...list, name]).join("|");
  return (
    <form
      class="filters"
      role="search"
      onSubmit={(e) => {
        e.preventDefault();
        change(route, { q: typed, page: null });
      }}
    >
      <label class="wide">
        Text{" "}
        <input ref={field} type="search" name="q" value={typed} placeholder="search all completions, then Enter" onInput={(e) => setTyped(e.currentTarget.value)} />
      </label>
      <button type="submit" class="chip">Search</button>
      <label>
        Run{" "}
        <select value={wanted.run.length === 1 ? wanted.run[0] : ""} onChange={(e) => change(route, { run: e.currentTarget.value, page: null })}>
          <option value="">all</option>
          {index.runs.map((run, i) => <option key={run.key} value={run.key}>{runLabel(i)}</option>)}
        </select>
      </label>
      <label>
        Task{" "}
        <select value={wanted.task} onChange={(e) => change(route, { task: e.currentTarget.value, problem: null, page: null })}>
          <option value="">all</option>
          {[...new Map(index.feeds.map((feed) => [feed.task, feed.title])).entries()].map(([name, title]) => <option key={name} value={name}>{title}</option>)}
        </select>
      </label>
      <label>
        Order{" "}
        <select value={wanted.sort} onChange={(e) => change(route, { sort: e.currentTarget.value, page: null })}>
          <option value="">by problem</option>
          <option value="tokens">longest first</option>
          <option value="-tokens">shortest first</option>
        </select>
      </label>
      <fieldset>
        <legend>Status</legend>
        {index.statuses.map((name, i) =>
          counts.statuses[i] || wanted.status.includes(name) ? (
            <Chip key={name} on={wanted.status.includes(name)} press={() => change(route, { status: toggle(wanted.status, name), page: null })}>
              <span aria-hidden="true">{SYMBOLS[name]}</span> {words(name)} {count(counts.statuses[i] ?? 0)}
            </Chip>
          ) : null,
        )}
      </fieldset>
      {(counts.flags.some(Boolean) || wanted.flag.length > 0) && (
        <fieldset>
          <legend>Flags</legend>
          {index.flags.map((name, i) =>
            counts.flags[i] || wanted.flag.includes(name) ? (
              <Chip key={name} on={wanted.flag.includes(name)} title={FLAG_HELP[name]} press={() => change(route, { flag: toggle(wanted.flag, name), page: null })}>
                {name} {count(counts.flags[i] ?? 0)}
              </Chip>
            ) : null,
          )}
        </fieldset>
      )}
      {verdicts.length > 0 && (
        <label>
          Tests' verdict{" "}
          <select value={wanted.verdict} onChange={(e) => change(route, { verdict: e.currentTarget.value, page: null })}>
            <option value="">all</option>
            {verdicts.map((name) => <option key={name} value={name}>{name}</option>)}
          </select>
        </label>
      )}
      {wanted.problem && (
        <Chip on={true} press={() => change(route, { problem: null, page: null })}>
          problem {wanted.problem} ✕
        </Chip>
      )}
    </form>
  );
}

export function SamplesPage({ route }: { route: Route }): JSX.Element {
  const site = useSite();
  const { index } = site;
  const wanted = wantedOf(route.query);
  const feeds = feedsFor(site, wanted);
  const loaded = useLoaded(
    async () => new Map(await Promise.all(feeds.map(async (feed): Promise<[number, Samples]> => [feed, await loadSamples(feed)]))),
    [feeds.join(), index.version],
  );
  const lists = loaded.value ?? new Map<number, Samples>();
  const basis = [loaded.value, wanted.status.join(), wanted.flag.join(), wanted.verdict, wanted.problem, wanted.sort];
  const all = useMemo(() => matching(site, lists, wanted), basis);
  const pieces = useMemo(() => {
    const found = new Set<number>();
    for (const one of all) found.add(lists.get(one.feed)!.piece[one.at]!);
    found.delete(-1);
    return [...found].sort((a, b) => a - b);
  }, [all]);
  const progress = useSearch(wanted.text, pieces, loaded.value !== null);
  const rows = useMemo((): { one: Found; hit: Hit | null }[] => {
    if (!wanted.text) return all.map((one) => ({ one, hit: null }));
    const places = new Map(all.map((one) => [`${lists.get(one.feed)!.piece[one.at]} ${lists.get(one.feed)!.row[one.at]}`, one]));
    return (progress?.hits ?? []).flatMap((hit) => {
      const one = places.get(`${hit.piece} ${hit.row}`);
      return one ? [{ one, hit }] : [];
    });
  }, [all, progress, wanted.text]);
  const page = Math.max(1, Number(route.query.get("page")) || 1);
  const shown = rows.slice((page - 1) * PER_PAGE, page * PER_PAGE);
  const cursor = useCursor(shown.length);
  useKeys({ j: cursor.next, k: cursor.before, n: cursor.next, p: cursor.before, Enter: cursor.open });
  const counts = useMemo(() => {
    const found = { statuses: index.statuses.map(() => 0), flags: index.flags.map(() => 0) };
    for (const feed of feeds) {
      index.feeds[feed]?.statuses.forEach((n, i) => (found.statuses[i]! += n));
      index.feeds[feed]?.flags.forEach((n, i) => (found.flags[i]! += n));
    }
    return found;
  }, [feeds.join(), index]);
  const verdicts = [...new Set([...lists.values()].flatMap((s) => s.verdicts))].sort();
  const inList = new URLSearchParams([...route.query.entries()].filter(([name]) => name !== "page")).toString();
  const last = Math.max(1, Math.ceil(rows.length / PER_PAGE));
  return (
    <>
      <h1>Samples</h1>
      <Filters route={route} counts={counts} verdicts={verdicts} />
      <Failed error={loaded.error || progress?.failed || ""} />
      <p class="quiet" role="status">
        {loaded.value === null ? "Loading …" : `${count(rows.length)} sample${rows.length === 1 ? "" : "s"}`}
        {progress && (progress.running ? ` so far; searched ${progress.done} of ${progress.of} pieces` : progress.full ? "; there are more, the search stopped here" : ` of ${count(all.length)} have it`)}
        {last > 1 ? `, page ${page} of ${last}` : ""}
      </p>
      {shown.length > 0 && (
        <Scroll label="Samples">
          <table class="samples">
            <thead>
              <tr>
                <th scope="col" class="name">problem</th>
                <th scope="col">sample</th>
                <th scope="col" class="name">status</th>
                {(wanted.run.length !== 1 || index.runs.length === 1) && <th scope="col" class="name">run</th>}
                {!wanted.task && <th scope="col" class="name">task</th>}
                <th scope="col" class="name">answer</th>
                <th scope="col" class="name">right answer</th>
                <th scope="col">tokens</th>
                <th scope="col" class="name">flags</th>
              </tr>
            </thead>
            <tbody>
              {shown.map(({ one, hit }, i) => {
                const samples = lists.get(one.feed)!;
                const feed = index.feeds[one.feed]!;
                const set = index.problems[feed.set]!;
                const problem = samples.problem[one.at]!;
                const run = index.runs[feed.run]!;
                const to = link("problem", [feed.set, set.ids[problem] ?? ""], { runs: run.key, [`i.${run.key}`]: samples.index[one.at], in: inList || "all" });
                return (
                  <>
                    <tr key={`${one.feed} ${one.at}`} ref={cursor.row(i)}>
                      <th scope="row" class="name">
                        <a href={to}><Name text={set.ids[problem] ?? ""} /></a>
                      </th>
                      <td>{samples.index[one.at]}</td>
                      <td class="name"><Status name={index.statuses[samples.status[one.at]!] ?? ""} /></td>
                      {(wanted.run.length !== 1 || index.runs.length === 1) && <td class="name">{site.runLabel(feed.run)}</td>}
                      {!wanted.task && <td class="name">{feed.title}</td>}
                      <td class="name clip">{samples.answer[one.at] ?? "–"}</td>
                      <td class="name clip">{set.gold[problem] ?? "–"}</td>
                      <td>{samples.tokens[one.at] === null ? "–" : count(samples.tokens[one.at]!)}</td>
                      <td class="name flags"><Flags bits={samples.flags[one.at]!} names={index.flags} /></td>
                    </tr>
                    {hit && (
                      <tr class="hit">
                        <td colSpan={9} class="name">
                          <div class="snippet">
                            {oneLine(hit.shown[0])}
                            <mark>{oneLine(hit.shown[1])}</mark>
                            {oneLine(hit.shown[2])}
                          </div>
                        </td>
                      </tr>
                    )}
                  </>
                );
              })}
            </tbody>
          </table>
        </Scroll>
      )}
      {last > 1 && (
        <nav class="pager" aria-label="Pages of the list">
          <button type="button" class="chip" disabled={page <= 1} onClick={() => change(route, { page: page - 1 })}>← earlier</button>
          <button type="button" class="chip" disabled={page >= last} onClick={() => change(route, { page: page + 1 })}>later →</button>
        </nav>
      )}
      {loaded.value !== null && !rows.length && !progress?.running && <p class="notice">No sample matches.</p>}
    </>
  );
}
