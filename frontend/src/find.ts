// The samples that a query asks for: the same on the list and when a reader steps through its samples.
import type { Site } from "./context";
import type { Samples } from "./model";

export interface Found {
  feed: number;
  at: number; // row of the feed's samples
}
export interface Wanted {
  run: string[];
  task: string;
  status: string[];
  flag: string[];
  verdict: string;
  problem: string;
  sort: string;
  text: string;
}

export function wantedOf(query: URLSearchParams): Wanted {
  const several = (name: string): string[] => (query.get(name) ?? "").split("|").filter(Boolean);
  return {
    run: several("run"),
    task: query.get("task") ?? "",
    status: several("status"),
    flag: several("flag"),
    verdict: query.get("verdict") ?? "",
    problem: query.get("problem") ?? "",
    sort: query.get("sort") ?? "",
    text: query.get("q") ?? "",
  };
}

// The feeds that a query may find something in.
export function feedsFor(site: Site, wanted: Wanted): number[] {
  return site.index.feeds
    .map((feed, at) => ({ feed, at }))
    .filter(({ feed }) => (!wanted.run.length || wanted.run.includes(site.index.runs[feed.run]?.key ?? "")) && (!wanted.task || feed.task === wanted.task))
    .map(({ at }) => at);
}

export function matching(site: Site, lists: Map<number, Samples>, wanted: Wanted): Found[] {
  const { index } = site;
  const statuses = new Set(wanted.status.map((name) => index.statuses.indexOf(name)));
  const flags = wanted.flag.map((name) => 1 << Math.max(index.flags.indexOf(name), 0));
  const found: Found[] = [];
  for (const [feed, samples] of lists) {
    const set = index.problems[index.feeds[feed]?.set ?? 0];
    const problem = wanted.problem ? (set?.ids.indexOf(wanted.problem) ?? -1) : null;
    const verdict = wanted.verdict ? samples.verdicts.indexOf(wanted.verdict) : null;
    for (let at = 0; at < samples.problem.length; at++) {
      if (statuses.size && !statuses.has(samples.status[at]!)) continue;
      if (flags.some((bit) => !(samples.flags[at]! & bit))) continue;
      if (problem !== null && samples.problem[at] !== problem) continue;
      if (verdict !== null && samples.verdict[at] !== verdict) continue;
      found.push({ feed, at });
    }
  }
  if (wanted.sort) {
    const value = (one: Found): number => {
      const samples = lists.get(one.feed)!;
      return wanted.sort.includes("tokens") ? (samples.tokens[one.at] ?? -1) : (samples.chars[one.at] ?? -1);
    };
    found.sort((a, b) => (wanted.sort.startsWith("-") ? value(a) - value(b) : value(b) - value(a)));
  }
  return found;
}
