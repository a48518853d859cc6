// One sample: how it was graded, its answer, and its thinking, folded.
import type { JSX } from "preact";
import { useMemo, useState } from "preact/hooks";
import { useSite } from "./context";
import { loadDetail, loadText } from "./data";
import { type Detail, FINISHES, type Samples, type SampleText } from "./model";
import { count, Failed, FLAG_HELP, Status, useLoaded, words } from "./parts";
import { blocks, outline } from "./prose";
import { Code, Prose, Typeset } from "./text";
import { oneLine, visible } from "./visible";

export interface Folding {
  open: boolean;
  raw: boolean;
  setOpen: (open: boolean) => void;
}

export function Flags({ bits, names }: { bits: number; names: string[] }): JSX.Element {
  return (
    <>
      {names.map((name, i) =>
        (bits >> i) & 1 ? (
          <span key={name} class="flag" title={FLAG_HELP[name]}>
            {name}
          </span>
        ) : null,
      )}
    </>
  );
}

function Why({ detail, kind, gold }: { detail: Detail; kind: string; gold: string | null }): JSX.Element {
  const program = kind === "code" && detail.answer;
  const facts = Object.entries(detail.facts ?? {});
  const long = (detail.why ?? "").includes("\n") || (detail.why ?? "").length > 240;
  return (
    <dl class="pairs why">
      {!program && (
        <div>
          <dt>answer</dt>
          <dd class="answer">{detail.answer === null || detail.answer === undefined ? <em>none found</em> : <Typeset tag="span" kind="inline" text={asMath(detail.answer)} />}</dd>
        </div>
      )}
      {gold !== null && (
        <div>
          <dt>right answer</dt>
          <dd class="answer"><Typeset tag="span" kind="inline" text={asMath(gold)} /></dd>
        </div>
      )}
      {detail.why && (
        <div class={long ? "whole" : ""}>
          <dt>why</dt>
          <dd>{long ? <pre class="explanation" tabIndex={0}>{visible(detail.why)}</pre> : visible(detail.why)}</dd>
        </div>
      )}
      {detail.by && (
        <div>
          <dt>found by</dt>
          <dd>{visible(detail.by)}</dd>
        </div>
      )}
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{visible(words(name))}</dt>
          <dd>{visible(String(value))}</dd>
        </div>
      ))}
      {detail.opinion && (
        <div class="whole">
          <dt>{oneLine(detail.opinion.grader)} says</dt>
          <dd>
            <Status name={detail.opinion.status} /> {visible(detail.opinion.explanation)}
          </dd>
        </div>
      )}
      {detail.decision && (
        <div class="whole">
          <dt>{oneLine(detail.decision.who)} decided</dt>
          <dd>
            <Status name={detail.decision.verdict} /> {visible(detail.decision.why)}
          </dd>
        </div>
      )}
      {program && (
        <div class="whole">
          <dt>program</dt>
          <dd>
            <Code text={detail.answer ?? ""} language={String(detail.facts?.["language"] ?? "python").toLowerCase()} />
          </dd>
        </div>
      )}
    </dl>
  );
}

// An answer is LaTeX without delimiters; what has none of LaTeX's signs is left as it is.
function asMath(answer: string): string {
  return /[\\^_]/.test(answer) && !answer.includes("$") && answer.length < 300 ? `$${answer.trim()}$` : answer;
}

// the tag that closes thinking, which is not part of the answer: </think>, <|end_of_thought|>, [/THINK], ◁/think▷
const CLOSING = /^\s*(?:<\/?[\w|:]{1,40}>|<\|[^|>\n]{1,60}\|>|\[\/?[A-Z]{1,20}\]|◁\/?\w{1,20}▷)/;

const GLYPHS = { start: "", turn: "↺", box: "□", stated: "★", loop: "↻", limit: "✂" };

// Where turns, boxes and marks lie in the thinking, as ticks on a line.
function Strip({ from, to, entries, loops }: { from: number; to: number; entries: { at: number; kind: string }[]; loops: [number, number, number][] }): JSX.Element {
  const at = (x: number): number => (100 * (x - from)) / Math.max(to - from, 1);
  return (
    <svg class="strip" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect class="track" x="0" y="2" width="100" height="2" />
      {loops.map(([start, end]) => (
        <rect key={start} class="loop" x={at(Math.max(start, from))} y="1" width={Math.max(at(Math.min(end, to)) - at(Math.max(start, from)), 0)} height="4" />
      ))}
      {entries.map((e, i) => (e.kind === "start" ? null : <rect key={i} class={e.kind} x={at(e.at)} y="0" width={e.kind === "stated" ? 0.8 : 0.3} height="6" />))}
    </svg>
  );
}

function Thinking({ text, id, cut, folding }: { text: SampleText; id: string; cut: string; folding: Folding }): JSX.Element {
  const parts = useMemo(() => blocks(text.text, 0, text.end), [text]);
  const found = useMemo(() => outline(text.text, 0, text.end, parts, text.stated, text.loops), [text, parts]);
  const share = (at: number): string => `${Math.round((100 * at) / Math.max(text.end, 1))}%`;
  const summary = [
    `${count(text.end)} characters`,
    ...(found.turns ? [`${found.turns} turn${found.turns > 1 ? "s" : ""}`] : []),
    ...(text.stated !== null && text.stated <= text.end ? [`right answer first stated at ${share(text.stated)}`] : []),
    ...text.loops.map(([start]) => `repeats from ${share(start)}`),
    ...(text.closed ? [] : ["never closed"]),
  ];
  const go = (at: number): void => {
    const block = [...parts].reverse().find((b) => b.start < at || b.start === at);
    document.getElementById(`${id}-${block?.start ?? 0}`)?.scrollIntoView({ block: "start" });
  };
  return (
    <details class="thinking" open={folding.open} onToggle={(e) => folding.setOpen((e.currentTarget as HTMLDetailsElement).open)}>
      <summary>
        <strong>Thinking</strong> {summary.join(" · ")}
        <Strip from={0} to={text.end} entries={found.entries} loops={text.loops} />
      </summary>
      {folding.open && (
        <div class="folded">
          <nav class="outline" aria-label="Outline of the thinking">
            <ol>
              {found.entries.map((entry, i) => (
                <li key={i} class={entry.kind}>
                  <button type="button" onClick={() => go(entry.at)}>
                    <span class="place">{share(entry.at)}</span> {GLYPHS[entry.kind]} {oneLine(entry.label)}
                  </button>
                </li>
              ))}
            </ol>
          </nav>
          <div>
            <Prose parts={parts} marks={text} id={id} />
            {!text.closed && cut && <p class="mark limit">✂ {cut}</p>}
          </div>
        </div>
      )}
    </details>
  );
}

export function Reader({ feedAt, samples, at, id, folding }: { feedAt: number; samples: Samples; at: number; id: string; folding: Folding }): JSX.Element {
  const { index } = useSite();
  const feed = index.feeds[feedAt]!;
  const set = index.problems[feed.set]!;
  const text = useLoaded(() => loadText(samples, at), [samples, at]);
  const detail = useLoaded(() => loadDetail(feedAt, at, feed.detailSize), [samples, at]);
  const [local, setLocal] = useState(false);
  const finish = FINISHES[samples.finish[at] ?? 4] ?? "unknown";
  const tokens = samples.tokens[at];
  const cut = { length: `cut at the limit${feed.maxTokens ? ` of ${count(feed.maxTokens)} tokens` : ""}`, repetition: "stopped since it repeated itself" }[finish] ?? "";
  const value = text.value;
  const rest = value && value.closed ? value.text.slice(value.end) : "";
  const tag = value && value.end > 0 ? (CLOSING.exec(rest)?.[0] ?? "") : "";
  const parts = useMemo(() => (value && value.closed ? blocks(value.text, value.end + tag.length, value.text.length) : []), [value]);
  const raw = folding.raw !== local;
  return (
    <article class="sample" aria-label={`sample ${samples.index[at]}`}>
      <p class="heads">
        <Status name={index.statuses[samples.status[at] ?? 0] ?? ""} />
        <Flags bits={samples.flags[at] ?? 0} names={index.flags} />
      </p>
      <p class="quiet">
        {[
          `sample ${samples.index[at]}`,
          tokens === null || tokens === undefined ? "tokens not counted" : `${count(tokens)} tokens`,
          `${count(samples.chars[at] ?? 0)} characters`,
          finish === "stop" ? "ended by itself" : cut || `finish reason: ${finish}`,
          ...(value?.seconds ? [`${value.seconds.toFixed(1)} s`] : []),
        ].join(" · ")}
        {value && (
          <button type="button" class="plain" aria-pressed={raw} onClick={() => setLocal(!local)}>
            {raw ? "typeset" : "raw text"}
          </button>
        )}
      </p>
      <Failed error={text.error || detail.error} />
      {detail.value && <Why detail={detail.value} kind={set.kind} gold={set.gold[samples.problem[at] ?? -1] ?? null} />}
      {value?.error && <p class="failed">{visible(value.error)}</p>}
      {(samples.piece[at] ?? -1) < 0 && <p class="notice">The text of this sample is not in this report.</p>}
      {value && raw && <pre class="raw" tabIndex={0} aria-label="raw text">{visible(value.text)}</pre>}
      {value && !raw && (
        <>
          {value.end > 0 && <Thinking text={value} id={id} cut={cut} folding={folding} />}
          {tag && <p class="tag">{visible(tag.trim())}</p>}
          {rest.trim() && <Prose parts={parts} marks={{ stated: value.stated !== null && value.stated > value.end ? value.stated : null, loops: value.loops }} id={id} />}
          {value.closed && cut && <p class="mark limit">✂ {cut}</p>}
        </>
      )}
    </article>
  );
}
