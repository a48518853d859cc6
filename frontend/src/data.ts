// Loads the site's pieces: with fetch from a server, as scripts from a file.
import type { Detail, Index, ProblemText, Samples, SampleText } from "./model";
import { visibleStrings } from "./visible";

export const SERVED = location.protocol.startsWith("http");

const waiting = new Map<string, { resolve: (packed: string) => void; reject: (error: Error) => void }>();

declare global {
  interface Window {
    evalkitPiece: (name: string, packed: string) => void;
  }
}
window.evalkitPiece = (name, packed) => {
  waiting.get(name)?.resolve(packed);
  waiting.delete(name);
};

// The gzipped, base64 content of a piece.
export async function packedPiece(name: string): Promise<string> {
  if (SERVED) {
    const answer = await fetch(`data/${name}.js`, { cache: "no-cache" });
    if (!answer.ok) throw new Error(`data/${name}.js: ${answer.status}`);
    const text = await answer.text();
    return text.slice(text.indexOf('","') + 3, text.lastIndexOf('"'));
  }
  return await new Promise((resolve, reject) => {
    waiting.set(name, { resolve, reject });
    const script = document.createElement("script");
    script.src = `data/${name}.js`;
    script.onerror = () => {
      waiting.delete(name);
      script.remove();
      reject(new Error(`data/${name}.js cannot be read`));
    };
    script.onload = () => script.remove();
    document.head.append(script);
  });
}

export function unpackBytes(packed: string): Uint8Array<ArrayBuffer> {
  const native = (Uint8Array as unknown as { fromBase64?: (text: string) => Uint8Array<ArrayBuffer> }).fromBase64;
  if (native) return native.call(Uint8Array, packed);
  const text = atob(packed);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

export async function unpack(packed: string): Promise<Response> {
  return new Response(new Response(unpackBytes(packed)).body!.pipeThrough(new DecompressionStream("gzip")));
}

async function json<T>(name: string): Promise<T> {
  return (await (await unpack(await packedPiece(name))).json()) as T;
}

// The newest results by name, as many as weigh `most` together.
class Kept<T> {
  private readonly found = new Map<string, { promise: Promise<T>; weight: number }>();
  constructor(
    private readonly most: number,
    private readonly load: (name: string) => Promise<T>,
    private readonly weigh: (value: T) => number = () => 1,
  ) {}
  get(name: string): Promise<T> {
    const before = this.found.get(name);
    const entry = before ?? { promise: this.load(name), weight: 0 };
    this.found.delete(name);
    this.found.set(name, entry);
    if (!before) {
      entry.promise.then(
        (value) => {
          entry.weight = this.weigh(value);
          this.drop(entry);
        },
        () => this.found.get(name) === entry && this.found.delete(name),
      );
    }
    return entry.promise;
  }
  // Forgets the oldest, but not the one that has just come.
  private drop(newest: { weight: number }): void {
    let sum = 0;
    for (const entry of this.found.values()) sum += entry.weight;
    for (const [name, entry] of this.found) {
      if (sum <= this.most) break;
      if (entry === newest) continue;
      sum -= entry.weight;
      this.found.delete(name);
    }
  }
  clear(): void {
    this.found.clear();
  }
}

const MOST_TEXT = 12_000_000; // characters, of one or two bytes each
const texts = new Kept<SampleText[]>( // raw: a reader sees them as they are
  MOST_TEXT,
  (name) => json(name),
  (samples) => samples.reduce((sum, sample) => sum + sample.text.length, 0),
);
const lists = new Kept<Samples>(10_000, async (name) => visibleStrings(await json<Samples>(name)));
const details = new Kept<Detail[]>(60, (name) => json(name));
const problems = new Kept<ProblemText[]>(20, (name) => json(name));

export const loadIndex = async (): Promise<Index> => visibleStrings(await json<Index>("index"));
export const loadSamples = (feed: number): Promise<Samples> => lists.get(`s${feed}`);

export async function loadText(samples: Samples, at: number): Promise<SampleText | null> {
  const piece = samples.piece[at] ?? -1;
  return piece < 0 ? null : ((await texts.get(`p${piece}`))[samples.row[at] ?? 0] ?? null);
}

export async function loadDetail(feed: number, at: number, size: number): Promise<Detail> {
  return (await details.get(`d${feed}-${Math.floor(at / size)}`))[at % size] ?? {};
}

export async function loadProblem(set: number, at: number, size: number): Promise<ProblemText> {
  return (await problems.get(`q${set}-${Math.floor(at / size)}`))[at % size] ?? {};
}

// What a run that goes on may have changed: everything but the texts.
export function forget(): void {
  lists.clear();
  details.clear();
  problems.clear();
}
