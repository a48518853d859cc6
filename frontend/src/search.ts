// Full-text search of all samples: the page's side of the worker.
import { packedPiece, SERVED } from "./data";

declare const __WORKER__: string;

export interface Hit {
  piece: number;
  row: number;
  at: number;
  shown: [string, string, string];
}
export interface Progress {
  hits: Hit[];
  done: number;
  of: number;
  running: boolean;
  full: boolean; // stopped, since there are many
  failed: string;
}
interface Reply {
  kind: "found" | "end" | "failed" | "want";
  id: number;
  found: Hit[];
  done: number;
  of: number;
  full: boolean;
  why: string;
  name: string;
}
export const MOST_HITS = 2000;

let worker: Worker | null = null;
let last = 0;

export function startSearch(
  query: string,
  pieces: number[],
  grams: number,
  tell: (progress: Progress) => void,
): () => void {
  if (worker === null) worker = new Worker(URL.createObjectURL(new Blob([__WORKER__], { type: "text/javascript" })));
  const id = ++last;
  const using = worker;
  let progress: Progress = { hits: [], done: 0, of: pieces.length, running: true, full: false, failed: "" };
  const listen = (event: MessageEvent<Reply>): void => {
    const reply = event.data;
    if (reply.id !== id) return;
    if (reply.kind === "want") {
      packedPiece(reply.name).then(
        (packed) => using.postMessage({ kind: "piece", id, name: reply.name, packed }),
        () => using.postMessage({ kind: "piece", id, name: reply.name, packed: null }),
      );
      return;
    }
    if (reply.kind === "found") {
      progress = { ...progress, hits: progress.hits.concat(reply.found), done: reply.done, of: reply.of };
    } else if (reply.kind === "end") {
      progress = { ...progress, running: false, full: reply.full, done: reply.full ? progress.done : progress.of };
    } else {
      progress = { ...progress, running: false, failed: reply.why };
    }
    tell(progress);
  };
  using.addEventListener("message", listen);
  const base = SERVED ? new URL(".", location.href).href : null;
  using.postMessage({ kind: "start", id, query, pieces, grams, base, most: MOST_HITS });
  tell(progress);
  return () => {
    using.removeEventListener("message", listen);
    if (id === last) using.postMessage({ kind: "stop" });
  };
}
