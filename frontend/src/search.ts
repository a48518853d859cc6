// Full-text search of all samples: the page's side of the worker.
import { packedPiece } from "./data";
import type { Batch, Hit, Reply } from "./worker";

declare const __WORKER__: string;

export type { Hit } from "./worker";
export interface Progress {
  hits: Hit[];
  done: number;
  of: number;
  running: boolean;
  full: boolean; // stopped, since there are many
  failed: string;
}
export const MOST_HITS = 2000;

let script = "";

// Searches until every piece is read, there are MOST_HITS, or the returned function is called. A worker reads some
// pieces and ends: a browser frees the memory of what a thread has read when the thread is gone, and late before.
export function startSearch(
  query: string,
  pieces: number[],
  grams: number,
  tell: (progress: Progress) => void,
): () => void {
  script ||= URL.createObjectURL(new Blob([__WORKER__], { type: "text/javascript" }));
  const base = new URL(".", location.href).href;
  let progress: Progress = { hits: [], done: 0, of: pieces.length, running: true, full: false, failed: "" };
  let worker: Worker | null = null;

  const read = (batch: Omit<Batch, "kind" | "query" | "base" | "most">): void => {
    const reader = (worker = new Worker(script));
    reader.onmessage = (event: MessageEvent<Reply>) => {
      if (reader === worker) hear(event.data, reader);
    };
    reader.onerror = (event) => reader === worker && end({ failed: event.message || "the search could not be started" });
    reader.postMessage({ kind: "batch", query, base, most: MOST_HITS - progress.hits.length, ...batch } satisfies Batch);
  };
  const hear = (reply: Reply, reader: Worker): void => {
    if (reply.kind === "want") {
      const send = (packed: string | null): void => reader.postMessage({ kind: "piece", name: reply.name, packed });
      packedPiece(reply.name).then(send, () => send(null));
    } else if (reply.kind === "found") {
      progress = { ...progress, hits: progress.hits.concat(reply.found), done: progress.of - reply.left };
      tell(progress);
    } else if (reply.kind === "rest") {
      reader.terminate();
      read({ pieces: reply.pieces, grams: 0, scripts: reply.scripts });
    } else if (reply.kind === "end") {
      end({ full: reply.full, done: reply.full ? progress.done : progress.of });
    } else {
      end({ failed: reply.why });
    }
  };
  const end = (last: Partial<Progress>): void => {
    stop();
    progress = { ...progress, ...last, running: false };
    tell(progress);
  };
  const stop = (): void => {
    worker?.terminate();
    worker = null;
  };
  read({ pieces, grams, scripts: true });
  tell(progress);
  return stop;
}
