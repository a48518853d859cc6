// KaTeX and highlight.js, in a script of its own that is loaded when the first sample is opened.
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import c from "highlight.js/lib/languages/c";
import cpp from "highlight.js/lib/languages/cpp";
import go from "highlight.js/lib/languages/go";
import java from "highlight.js/lib/languages/java";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import katex from "katex";

for (const [name, language] of Object.entries({ bash, c, cpp, go, java, javascript, json, python, rust })) {
  hljs.registerLanguage(name, language);
}

interface Token {
  scope?: string;
  children?: (Token | string)[];
}

// "C++17", "Python 3" and their like; what is not known is read as Python, which most of these programs are.
function languageOf(name: string): string {
  const plain = name.toLowerCase();
  if (hljs.getLanguage(plain)) return plain;
  if (/c\+\+|g\+\+/.test(plain)) return "cpp";
  return ["javascript", "java", "rust", "go", "bash", "json", "c"].find((known) => plain.startsWith(known)) ?? "python";
}

// The highlighted code as elements: no markup is parsed.
function highlight(place: HTMLElement, code: string, language: string): void {
  if (code.length > 50_000) {
    place.textContent = code;
    return;
  }
  const known = languageOf(language);
  const result = hljs.highlight(code, { language: known, ignoreIllegals: true });
  const root = (result._emitter as unknown as { rootNode: Token }).rootNode;
  const put = (parent: Node, token: Token | string): void => {
    if (typeof token === "string") {
      parent.appendChild(document.createTextNode(token));
      return;
    }
    const element = token.scope ? document.createElement("span") : null;
    if (element && token.scope) element.className = `hl-${token.scope.split(".")[0]}`;
    for (const child of token.children ?? []) put(element ?? parent, child);
    if (element) parent.appendChild(element);
  };
  const holder = document.createDocumentFragment();
  put(holder, root);
  place.replaceChildren(holder);
}

function math(place: HTMLElement, source: string, display: boolean): boolean {
  try {
    katex.render(source, place, {
      displayMode: display,
      throwOnError: true,
      trust: false,
      strict: false,
      maxExpand: 200,
      maxSize: 20,
      output: "htmlAndMathml",
    });
    return true;
  } catch {
    return false;
  }
}

declare global {
  interface Window {
    evalkitTypesetting?: { highlight: typeof highlight; math: typeof math };
  }
}
window.evalkitTypesetting = { highlight, math };
