// The index and what is derived from it, for every page.
import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Feed, Index } from "./model";

export interface Site {
  index: Index;
  runLabel: (run: number) => string;
  runOf: (key: string | null) => number;
  feedsOf: (run: number) => number[];
  feedOf: (run: number, set: number) => number;
}

export function siteOf(index: Index): Site {
  const feeds = index.feeds.map((feed, at): [Feed, number] => [feed, at]);
  return {
    index,
    runLabel: (run) => index.runs[run]?.label ?? "",
    runOf: (key) => index.runs.findIndex((run) => run.key === key),
    feedsOf: (run) => feeds.filter(([feed]) => feed.run === run).map(([, at]) => at),
    feedOf: (run, set) => index.feeds.findIndex((feed) => feed.run === run && feed.set === set),
  };
}

export const SiteContext = createContext<Site>(siteOf({ runs: [], feeds: [] } as unknown as Index));
export const useSite = (): Site => useContext(SiteContext);
