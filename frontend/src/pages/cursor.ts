// A row of a list that the keyboard is at: j and k move it, Enter opens its first link.
import { useRef, useState } from "preact/hooks";

export interface Cursor {
  at: number;
  next: () => void;
  before: () => void;
  open: () => void;
  row: (at: number) => (element: HTMLElement | null) => void;
}

export function useCursor(length: number): Cursor {
  const [at, setAt] = useState(-1);
  const rows = useRef(new Map<number, HTMLElement>());
  const go = (to: number): void => {
    const next = Math.max(0, Math.min(length - 1, to));
    const row = rows.current.get(next);
    setAt(next);
    row?.querySelector<HTMLElement>("a")?.focus();
    row?.scrollIntoView({ block: "nearest" });
  };
  return {
    at,
    next: () => go(at + 1),
    before: () => go(at - 1),
    open: () => (document.activeElement instanceof HTMLAnchorElement ? document.activeElement : rows.current.get(Math.max(at, 0))?.querySelector<HTMLElement>("a"))?.click(),
    row: (number) => (element) => {
      if (element) rows.current.set(number, element);
      else rows.current.delete(number);
    },
  };
}
