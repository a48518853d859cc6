// The index and what is derived from it, for every page.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Feed, Index, Run } from "./model";

export interface Site {
  index: Index;
  runLabel: (run: number) => string;
  runOf: (key: string | null) => number;
  feedsOf: (run: number) => number[];
  feedOf: (run: number, set: number) => number;
}

export function siteOf(index: Index): Site {
  const names = index.runs.map((run) => run.model.replace(/\/+$/, "").split("/").at(-1) ?? run.model);
  const label = (run: Run, at: number): string =>
    names.filter((name) => name === names[at]).length > 1 ? `${names[at]} (${run.name})` : (names[at] ?? "");
  const labels = index.runs.map(label);
  const feeds = index.feeds.map((feed, at): [Feed, number] => [feed, at]);
  return {
    index,
    runLabel: (run) => labels[run] ?? "",
    runOf: (key) => index.runs.findIndex((run) => run.key === key),
    feedsOf: (run) => feeds.filter(([feed]) => feed.run === run).map(([, at]) => at),
    feedOf: (run, set) => index.feeds.findIndex((feed) => feed.run === run && feed.set === set),
  };
}

export const SiteContext = createContext<Site>(siteOf({ runs: [], feeds: [] } as unknown as Index));
export const useSite = (): Site => useContext(SiteContext);
