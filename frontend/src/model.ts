// The data of the site, as evalkit/results/site/ writes it.

export interface Metric {
  name: string;
  value: number | null;
  text: string;
  unit: string;
  bars: string[];
  run: [number, number] | null;
  problems: [number, number] | null;
  n: number;
  note: string;
}
export interface Cell extends Metric {
  basis: string[];
  mark: string;
  best: boolean;
  comparison: string;
  source: string;
}
export interface Column {
  task: string;
  title: string;
  metric: string;
  short: string; // the title without the benchmark's options
}
// what it tells of: cells with its mark, columns, published figures of a source, or the cell of a row and a column
export interface Note {
  text: string;
  mark: string;
  columns: number[];
  source: string;
  cell: [number, number] | null;
}
export interface Row {
  model: string;
  label: string;
  protocol: string;
  published: boolean;
  more: boolean;
  kin: string; // equal for two spellings of one model
  run: number | null;
  cells: (Cell | null)[];
}
export interface Run {
  key: string;
  model: string;
  name: string;
  label: string;
  protocol: string;
  evalkit: string | null;
  settings: [string, string][];
  environment: [string, string][];
  imported: [string, string][];
  throughput: Record<string, unknown>[];
}
export interface Tokens {
  mean: number;
  p50: number;
  p95: number;
  p99: number;
  longest: number;
  total: number;
  per_correct: number | null;
}
export interface Report {
  metrics: Metric[];
  headlines: string[];
  truncation: number | null;
  tokens: Tokens | null;
  subset: string;
  disputesText: string;
}
export interface Message {
  role: string;
  content: string;
}
export interface Feed {
  run: number;
  task: string;
  title: string;
  set: number;
  n: number;
  planned: number;
  maxTokens: number | null;
  version: number;
  sampling: Record<string, unknown>;
  options: Record<string, unknown>;
  messages: Message[];
  report: Report | null;
  present: number;
  statuses: number[];
  flags: number[];
  detailSize: number;
}
export interface ProblemSet {
  key: number;
  name: string;
  title: string;
  kind: string;
  gated: boolean;
  redacted: boolean;
  missing: string;
  ids: string[];
  gold: (string | null)[];
  subjects: (string | null)[] | null;
  levels: (string | null)[] | null;
  pieces: number;
  pieceSize: number;
}
export interface ProblemText {
  messages?: Message[]; // of a task that writes them itself
  prompt?: string;
  target?: string | null;
  facts?: Record<string, string | number>;
}
export interface Picture {
  file: string;
  title: string;
  width: number;
  height: number;
  points: [number, number, string][];
}
export interface WordTable {
  heading: string;
  caption: string;
  columns: string[];
  rows: string[][];
  words: number[];
}
export interface Distillation {
  title: string;
  teacher: string;
  base: string | null;
  verdict: string[];
  details: string[];
  tables: WordTable[];
  pictures: Picture[];
  notes: string[];
}
export interface Fidelity {
  run: number;
  teacher: string;
  source: string;
  notes: string[];
  tables: WordTable[];
}
export interface Dispute {
  feed: number;
  problem: number | null;
  index: number;
  ours: string | null;
  grader: string;
  theirs: string | null;
  said: string;
  verdict: string | null;
  who: string;
  why: string;
}
export interface Compared {
  task: string;
  title: string;
  p: number;
  adjusted: number;
  problems: number;
  differences: string[];
  leftOut: number;
  difference: number;
  interval_run: [number, number];
  interval_problems: [number | null, number | null];
  a: { value: number };
  b: { value: number };
}
export interface Comparison {
  a: number;
  b: number;
  error: string;
  tasks: Compared[];
}
export interface Index {
  schema: number;
  version: number;
  live: boolean;
  statuses: string[];
  flags: string[];
  pieces: number;
  grams: number;
  notices: string[];
  runs: Run[];
  feeds: Feed[];
  problems: ProblemSet[];
  leaderboard: { columns: Column[]; rows: Row[]; caption: string; notes: Note[] };
  comparisons: Comparison[];
  comparisonsLeftOut: number;
  disputes: Dispute[];
  fidelity: Fidelity[];
  distillation: Distillation | null;
  pictures: Record<string, Picture[]>;
}
// one row a sample, in columns
export interface Samples {
  problem: number[];
  index: number[];
  piece: number[];
  row: number[];
  chars: number[];
  tokens: (number | null)[];
  finish: number[];
  status: number[];
  flags: number[];
  answer: (string | null)[];
  stated: (number | null)[];
  verdict: number[];
  verdicts: string[];
}
export interface SampleText {
  f: number;
  p: number;
  i: number;
  text: string;
  prefix: number;
  end: number;
  closed: boolean;
  stated: number | null;
  loops: [number, number, number][];
  prompt_tokens: number | null;
  seconds: number | null;
  error: string | null;
}
export interface Detail {
  answer?: string | null;
  why?: string;
  by?: string;
  facts?: Record<string, unknown>;
  opinion?: { grader: string; status: string; answer: string | null; explanation: string };
  decision?: { verdict: string; answer: string | null; who: string; why: string };
}
export const FINISHES = ["stop", "length", "repetition", "error", "unknown"];
