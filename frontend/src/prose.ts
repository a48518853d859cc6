// A completion taken apart for reading: paragraphs, code, formulas, and the outline of its thinking.

export interface Block {
  kind: "text" | "code";
  start: number; // in the whole text
  text: string;
  language: string;
}
export interface Piece {
  kind: "text" | "math" | "display";
  text: string; // with its delimiters
  source: string;
}
export interface Entry {
  at: number;
  kind: "start" | "turn" | "box" | "stated" | "loop" | "limit";
  label: string;
}

const FENCE = /^[ \t]*(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*$/gm;
const LONGEST = 4000; // characters of a paragraph that is shown in one element
const TURN =
  /^(?:wait|but wait|hold on|hmm+|actually|alternatively|no,|let me (?:re|check|double|verify|try)|let's (?:re|check|verify|try)|oh|oops|another (?:way|approach)|on second thought|maybe i)\b/i;
const BOXED = /\\boxed\s*\{/g;
const MOST_ENTRIES = 120;

// Fenced code and paragraphs, in order. Nothing of the text is lost but blank lines between paragraphs.
export function blocks(text: string, from: number, to: number): Block[] {
  const found: Block[] = [];
  const part = text.slice(from, to);
  let at = 0;
  let open: RegExpExecArray | null = null;
  FENCE.lastIndex = 0;
  for (let fence = FENCE.exec(part); fence; fence = FENCE.exec(part)) {
    if (open === null) {
      paragraphs(part, at, fence.index, from, found);
      open = fence;
    } else if (fence[1]![0] === open[1]![0] && fence[1]!.length >= open[1]!.length && !fence[2]) {
      const begin = open.index + open[0].length + 1;
      found.push({ kind: "code", start: from + begin, text: part.slice(begin, Math.max(begin, fence.index)).replace(/\n$/, ""), language: open[2]!.toLowerCase() });
      at = fence.index + fence[0].length;
      open = null;
    }
  }
  paragraphs(part, open === null ? at : open.index, part.length, from, found);
  return found;
}

function paragraphs(part: string, begin: number, end: number, offset: number, found: Block[]): void {
  const gap = /\n[ \t]*\n\s*/g;
  gap.lastIndex = begin;
  let at = begin;
  const put = (to: number): void => {
    for (let start = at; start < to; start += LONGEST) {
      const text = part.slice(start, Math.min(start + LONGEST, to));
      if (text.trim()) found.push({ kind: "text", start: offset + start, text, language: "" });
    }
  };
  for (let match = gap.exec(part); match && match.index < end; match = gap.exec(part)) {
    put(match.index);
    at = Math.min(match.index + match[0].length, end);
  }
  if (at < end) put(end);
}

const MATH =
  /\$\$([\s\S]{1,3000}?)\$\$|\\\[([\s\S]{1,3000}?)\\\]|\\\(([\s\S]{1,1500}?)\\\)|(?<![\\$\w])\$(?!\s)([^$\n]{1,600}?)(?<![\s\\])\$(?![\d\w$])|(\\boxed\s*\{(?:[^{}\n]|\{(?:[^{}\n]|\{[^{}\n]*\})*\}){1,300}\})/g;

// A paragraph's formulas and what is between them.
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let at = 0;
  MATH.lastIndex = 0;
  for (let match = MATH.exec(text); match; match = MATH.exec(text)) {
    if (match.index > at) found.push({ kind: "text", text: text.slice(at, match.index), source: "" });
    const display = match[1] ?? match[2];
    found.push({ kind: display === undefined ? "math" : "display", text: match[0], source: display ?? match[3] ?? match[4] ?? match[5] ?? "" });
    at = match.index + match[0].length;
  }
  if (at < text.length) found.push({ kind: "text", text: text.slice(at), source: "" });
  return found;
}

// Where a reader may want to go: turns, boxes, marks; else the starts of paragraphs, evenly thinned.
export function outline(
  text: string,
  from: number,
  to: number,
  parts: Block[],
  stated: number | null,
  loops: [number, number, number][],
): { entries: Entry[]; turns: number } {
  const entries: Entry[] = [];
  const starts: Entry[] = [];
  let turns = 0;
  for (const block of parts) {
    if (block.kind !== "text") continue;
    const first = block.text.trimStart().slice(0, 60).split("\n", 1)[0] ?? "";
    if (TURN.test(first)) {
      turns += 1;
      entries.push({ at: block.start, kind: "turn", label: first });
    } else {
      starts.push({ at: block.start, kind: "start", label: first });
    }
  }
  const part = text.slice(from, to);
  BOXED.lastIndex = 0;
  for (let match = BOXED.exec(part); match && entries.length < 400; match = BOXED.exec(part)) {
    entries.push({ at: from + match.index, kind: "box", label: part.slice(match.index, match.index + 40).split("\n", 1)[0] ?? "" });
  }
  const room = Math.max(10, MOST_ENTRIES - entries.length);
  const step = Math.max(1, Math.ceil(starts.length / room));
  entries.push(...starts.filter((_, i) => i % step === 0));
  if (stated !== null && stated >= from && stated <= to) {
    entries.push({ at: stated, kind: "stated", label: "right answer first stated" });
  }
  for (const [start, end] of loops) {
    if (start < to && end > from) entries.push({ at: Math.max(start, from), kind: "loop", label: "repeats from here" });
  }
  const rank = { stated: 0, loop: 1, limit: 2, box: 3, turn: 4, start: 5 };
  const kept = entries.length > MOST_ENTRIES ? entries.sort((a, b) => rank[a.kind] - rank[b.kind] || a.at - b.at).slice(0, MOST_ENTRIES) : entries;
  return { entries: kept.sort((a, b) => a.at - b.at), turns };
}
