// Searches the texts of all samples for a string, piece by piece, in a thread of its own. Letters of the ASCII match in
// both cases. The index of 4-grams tells which pieces cannot have it.

interface Start {
  kind: "start";
  id: number;
  query: string;
  pieces: number[];
  grams: number;
  base: string | null; // where pieces are fetched from; null: the page sends them
  most: number;
}
interface Sent {
  kind: "piece";
  id: number;
  name: string;
  packed: string | null;
}
interface Stop {
  kind: "stop";
}
interface Sample {
  f: number;
  p: number;
  i: number;
  text: string;
}
const BUCKET_BITS = 18;
const SHARDS = 256;
const AROUND = 70;

let current = 0;
const wanted = new Map<string, (packed: string | null) => void>();

const say = (message: unknown): void => (self as unknown as Worker).postMessage(message);

function bytes(packed: string): Uint8Array<ArrayBuffer> {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (native) return native.call(Uint8Array, packed);
  return Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
}

async function load(start: Start, name: string): Promise<Response | null> {
  let packed: string | null;
  if (start.base !== null) {
    const answer = await fetch(`${start.base}data/${name}.js`);
    if (!answer.ok) return null;
    const text = await answer.text();
    packed = text.slice(text.indexOf('","') + 3, text.lastIndexOf('"'));
  } else {
    packed = await new Promise((resolve) => {
      wanted.set(name, resolve);
      say({ kind: "want", id: start.id, name });
    });
  }
  if (packed === null) return null;
  return new Response(new Blob([bytes(packed)]).stream().pipeThrough(new DecompressionStream("gzip")));
}

// The pieces below `start.grams` that have every 4-gram of the query.
async function possible(start: Start): Promise<(piece: number) => boolean> {
  const query = new TextEncoder().encode(start.query);
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
  if (!buckets.size || !start.grams) return () => true;
  const stride = Math.ceil(start.grams / 8);
  const kept = new Uint8Array(stride).fill(255);
  for (const [shard, rows] of buckets) {
    const answer = await load(start, `g${shard}`);
    if (answer === null || start.id !== current) return () => true;
    const table = new Uint8Array(await answer.arrayBuffer());
    for (const row of rows) for (let k = 0; k < stride; k++) kept[k]! &= table[row * stride + k] ?? 255;
  }
  return (piece) => piece >= start.grams || ((kept[piece >> 3]! >> (7 - (piece & 7))) & 1) === 1;
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

async function search(start: Start): Promise<void> {
  const may = await possible(start);
  const pattern = new RegExp(start.query.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
  const pieces = start.pieces.filter(may);
  const skipped = start.pieces.length - pieces.length;
  let hits = 0;
  const ahead = 3;
  const loading: Promise<Response | null>[] = [];
  for (let at = 0; at < pieces.length; at++) {
    while (loading.length < ahead && at + loading.length < pieces.length) {
      loading.push(load(start, `p${pieces[at + loading.length]}`));
    }
    const answer = await loading.shift()!;
    if (start.id !== current) return;
    if (answer === null) continue;
    const samples = (await answer.json()) as Sample[];
    const found = [];
    for (const [row, sample] of samples.entries()) {
      const match = pattern.exec(sample.text);
      if (match) {
        found.push({ piece: pieces[at], row, at: match.index, shown: snippet(sample.text, match.index, match[0].length) });
      }
    }
    hits += found.length;
    say({ kind: "found", id: start.id, found, done: at + 1 + skipped, of: start.pieces.length });
    if (hits >= start.most) {
      say({ kind: "end", id: start.id, full: true });
      return;
    }
  }
  say({ kind: "end", id: start.id, full: false });
}

self.onmessage = (event: MessageEvent<Start | Sent | Stop>) => {
  const message = event.data;
  if (message.kind === "piece") {
    wanted.get(message.name)?.(message.packed);
    wanted.delete(message.name);
  } else if (message.kind === "stop") {
    current = -1;
  } else {
    current = message.id;
    search(message).catch((error: unknown) => say({ kind: "failed", id: message.id, why: String(error) }));
  }
};
export {};
