// Shows a completion's text: paragraphs that are typeset when they come into view, code, marks in the margin.
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { type Block, pieces } from "./prose";
import { typesetting } from "./typesetting";
import { visible } from "./visible";

let watcher: IntersectionObserver | null = null;
const waiting = new WeakMap<Element, () => void>();

// Calls `act` when the element comes near the window.
function whenSeen(element: Element, act: () => void): void {
  watcher ??= new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        seen(entry.target);
      }
    },
    { rootMargin: "400px" },
  );
  waiting.set(element, act);
  element.setAttribute("data-waits", "");
  watcher.observe(element);
}

function seen(element: Element): void {
  watcher?.unobserve(element);
  element.removeAttribute("data-waits");
  waiting.get(element)?.();
  waiting.delete(element);
}
window.addEventListener("beforeprint", () => document.querySelectorAll("[data-waits]").forEach(seen));

async function typeset(place: HTMLElement, text: string): Promise<void> {
  const parts = pieces(text);
  if (!parts.some((part) => part.kind !== "text")) return;
  const tools = await typesetting();
  if (!tools || !place.isConnected) return;
  const found = document.createDocumentFragment();
  for (const [i, part] of parts.entries()) {
    // a formula of its own line has no empty lines around it
    if (parts[i - 1]?.kind === "display") part.text = part.text.replace(/^\s*\n/, "");
    if (parts[i + 1]?.kind === "display") part.text = part.text.replace(/\n\s*$/, "");
    const element = part.kind === "text" ? null : document.createElement("span");
    // a formula with characters that cannot be seen stays text, which shows them
    if (element && visible(part.source) === part.source && tools.math(element, part.source, part.kind === "display")) {
      element.className = part.kind;
      element.title = visible(part.text);
      found.append(element);
    } else {
      found.append(visible(part.text));
    }
  }
  place.replaceChildren(found);
}

// Text with its formulas typeset; line breaks are kept.
export function Typeset({ text, tag = "p", kind = "para" }: { text: string; tag?: "p" | "span"; kind?: string }): JSX.Element {
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    element.textContent = visible(text);
    whenSeen(element, () => void typeset(element, text));
  }, [text]);
  const Tag = tag as "p";
  return <Tag ref={place as never} class={kind} dir="auto" />;
}

export function Code({ text, language }: { text: string; language: string }): JSX.Element {
  const place = useRef<HTMLElement>(null);
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const shown = visible(text);
    element.textContent = shown;
    whenSeen(element, () => void typesetting().then((tools) => element.isConnected && tools?.highlight(element, shown, language)));
  }, [text, language]);
  return (
    <pre class="code" tabIndex={0} aria-label={language ? `${language} code` : "code"}>
      <code ref={place} />
    </pre>
  );
}

export interface Marked {
  stated: number | null;
  loops: [number, number, number][];
}

export function Prose({ parts, marks, id }: { parts: Block[]; marks: Marked; id: string }): JSX.Element {
  let statedShown = false;
  const begun = new Set<number>();
  return (
    <div class="prose">
      {parts.map((block, i) => {
        const end = parts[i + 1]?.start ?? Number.MAX_SAFE_INTEGER;
        const loop = marks.loops.findIndex(([from, to]) => from < block.start + block.text.length && to > block.start);
        const stated = !statedShown && marks.stated !== null && marks.stated > block.start && marks.stated <= end;
        statedShown ||= stated;
        const first = loop >= 0 && !begun.has(loop);
        if (first) begun.add(loop);
        return (
          <div key={block.start} id={`${id}-${block.start}`} class={`block${loop >= 0 ? " looped" : ""}${stated ? " stated" : ""}`}>
            {first && <p class="mark loop">↻ repeats itself from here, every {marks.loops[loop]?.[2]} characters</p>}
            {stated && <p class="mark">★ the right answer is first stated here</p>}
            {block.kind === "code" ? <Code text={block.text} language={block.language} /> : <Typeset text={block.text} />}
          </div>
        );
      })}
    </div>
  );
}
