// Searches the texts of all samples for a string, piece by piece, in a thread of its own. Letters of the ASCII match in
// both cases. The index of 4-grams tells which pieces cannot have it.

export interface Batch {
  kind: "batch";
  query: string;
  pieces: number[];
  grams: number; // pieces that the index tells of, 0 where it is not to be asked
  base: string; // the page's folder
  scripts: boolean; // from disk: whether a worker may load scripts, which not every browser lets it
  most: number;
}
export interface Hit {
  piece: number;
  row: number;
  at: number;
  shown: [string, string, string];
}
export type Reply =
  | { kind: "found"; found: Hit[]; left: number }
  | { kind: "want"; name: string } // the page sends it, as Sent
  | { kind: "rest"; pieces: number[]; scripts: boolean } // for the next worker
  | { kind: "end"; full: boolean }
  | { kind: "failed"; why: string };
interface Sent {
  kind: "piece";
  name: string;
  packed: string | null;
}
interface Sample {
  text: string;
}
const AT_ONCE = 8; // pieces that one worker reads: with more, the browser holds more memory and is no faster
const BUCKET_BITS = 18;
const SHARDS = 256;
const AROUND = 70;

declare function importScripts(address: string): void;

const wanted = new Map<string, (packed: string | null) => void>();
let given: string | null = null;
(self as unknown as { evalkitPiece: (name: string, packed: string) => void }).evalkitPiece = (_, packed) => {
  given = packed;
};

const say = (message: Reply): void => (self as unknown as Worker).postMessage(message);

function bytes(packed: string): Uint8Array<ArrayBuffer> {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (native) return native.call(Uint8Array, packed);
  return Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
}

async function packedPiece(batch: Batch, name: string): Promise<string | null> {
  const address = `${batch.base}data/${name}.js`;
  if (batch.base.startsWith("http")) {
    const answer = await fetch(address);
    if (!answer.ok) return null;
    const text = await answer.text();
    return text.slice(text.indexOf('","') + 3, text.lastIndexOf('"'));
  }
  if (batch.scripts) {
    try {
      given = null;
      importScripts(address);
      return given;
    } catch {
      batch.scripts = false;
    }
  }
  return await new Promise((resolve) => {
    wanted.set(name, resolve);
    say({ kind: "want", name });
  });
}

async function load(batch: Batch, name: string): Promise<Response | null> {
  const packed = await packedPiece(batch, name);
  if (packed === null) return null;
  return new Response(new Response(bytes(packed)).body!.pipeThrough(new DecompressionStream("gzip")));
}

// The pieces below `batch.grams` that have every 4-gram of the query.
async function possible(batch: Batch): Promise<(piece: number) => boolean> {
  const query = new TextEncoder().encode(batch.query);
  const buckets = new Map<number, number[]>();
  for (let i = 0; i + 4 <= query.length; i++) {
    const gram = [0, 1, 2, 3].map((k) => query[i + k] ?? 0);
    if (gram.some((b) => b >= 128)) continue; // its other case may be other bytes
    const lower = gram.map((b) => (b >= 65 && b <= 90 ? b + 32 : b));
    const code = (lower[0]! | (lower[1]! << 8) | (lower[2]! << 16) | (lower[3]! << 24)) >>> 0;
    const bucket = Math.imul(code, 2654435761) >>> (32 - BUCKET_BITS);
    const width = (1 << BUCKET_BITS) / SHARDS;
    const shard = Math.floor(bucket / width);
    buckets.set(shard, [...(buckets.get(shard) ?? []), bucket % width]);
  }
  if (!buckets.size || !batch.grams) return () => true;
  const stride = Math.ceil(batch.grams / 8);
  const kept = new Uint8Array(stride).fill(255);
  for (const [shard, rows] of buckets) {
    const answer = await load(batch, `g${shard}`);
    if (answer === null) return () => true;
    const table = new Uint8Array(await answer.arrayBuffer());
    for (const row of rows) for (let k = 0; k < stride; k++) kept[k]! &= table[row * stride + k] ?? 255;
  }
  return (piece) => piece >= batch.grams || ((kept[piece >> 3]! >> (7 - (piece & 7))) & 1) === 1;
}

function snippet(text: string, at: number, length: number): [string, string, string] {
  const begin = Math.max(0, at - AROUND);
  const end = Math.min(text.length, at + length + AROUND);
  return [
    (begin > 0 ? "…" : "") + text.slice(begin, at),
    text.slice(at, at + length),
    text.slice(at + length, end) + (end < text.length ? "…" : ""),
  ];
}

async function search(batch: Batch): Promise<void> {
  const pieces = batch.pieces.filter(await possible(batch));
  const pattern = new RegExp(batch.query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
  const mine = pieces.slice(0, AT_ONCE);
  const ahead = batch.base.startsWith("http") ? 3 : 1;
  const loading: Promise<Response | null>[] = [];
  let hits = 0;
  for (const [at, piece] of mine.entries()) {
    while (loading.length < ahead && at + loading.length < mine.length) {
      loading.push(load(batch, `p${mine[at + loading.length]}`));
    }
    const answer = await loading.shift()!;
    if (answer === null) continue;
    const samples = (await answer.json()) as Sample[];
    const found: Hit[] = [];
    for (const [row, sample] of samples.entries()) {
      const match = pattern.exec(sample.text);
      if (match) found.push({ piece, row, at: match.index, shown: snippet(sample.text, match.index, match[0].length) });
    }
    hits += found.length;
    say({ kind: "found", found, left: pieces.length - at - 1 });
    if (hits >= batch.most) {
      say({ kind: "end", full: true });
      return;
    }
  }
  const rest = pieces.slice(AT_ONCE);
  say(rest.length ? { kind: "rest", pieces: rest, scripts: batch.scripts } : { kind: "end", full: false });
}

self.onmessage = (event: MessageEvent<Batch | Sent>) => {
  const message = event.data;
  if (message.kind === "piece") {
    wanted.get(message.name)?.(message.packed);
    wanted.delete(message.name);
  } else {
    search(message).catch((error: unknown) => say({ kind: "failed", why: String(error) }));
  }
};
