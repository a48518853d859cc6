// Text from strangers: what cannot be seen, or would change how its surroundings are read, is shown by name.

// controls but tab and line feed, bidirectional and zero-width characters, fillers, tags, lone surrogates
const HIDDEN =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\udb40[\udc00-\udfff]/g;
const MOST_MARKS = 4;
const COMBINING = /\p{M}{5,}/gu;

function hasPile(text: string): boolean {
  COMBINING.lastIndex = 0;
  return /[^\u0000-\u02ff]/.test(text) && COMBINING.test(text);
}

// one selector after a sign says how it is drawn; more of them carry something else
const isOneSelector = (found: string, at: number, text: string): boolean =>
  /[\ufe0e\ufe0f]/.test(found) && at > 0 && !/[\ufe00-\ufe0f\s]/.test(text[at - 1] ?? "");

const named = (found: string): string => `⟨U+${(found.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}⟩`;

// The text with every hidden character as ⟨U+202E⟩, and piles of combining marks cut to four.
export function visible(text: string): string {
  let found = text.replace(HIDDEN, (found: string, at: number, all: string) => (isOneSelector(found, at, all) ? found : named(found)));
  if (hasPile(found)) {
    found = found.replace(COMBINING, (pile) => {
      const marks = Array.from(pile);
      return `${marks.slice(0, MOST_MARKS).join("")}⟨${marks.length - MOST_MARKS} more combining marks⟩`;
    });
  }
  return found;
}

// For one line: line breaks become spaces.
export const oneLine = (text: string): string => visible(text.replace(/\s+/g, " "));

// Every string of the index is made visible once, when it is read.
export function visibleStrings<T>(value: T): T {
  if (typeof value === "string") return visible(value) as T;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const inner: unknown = value[i];
      if (typeof inner === "string" || (typeof inner === "object" && inner !== null)) value[i] = visibleStrings(inner);
    }
    return value;
  }
  if (typeof value === "object" && value !== null) {
    const found: Record<string, unknown> = {};
    for (const [name, inner] of Object.entries(value)) found[visible(name)] = visibleStrings(inner);
    return found as T;
  }
  return value;
}
