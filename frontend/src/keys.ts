// Keys of a page: what is bound last is asked first. None acts while the reader types.
import { useEffect, useRef } from "preact/hooks";

export type Keys = Record<string, () => void>;
const stack: { current: Keys }[] = [];

export function useKeys(keys: Keys): void {
  const held = useRef(keys);
  held.current = keys;
  useEffect(() => {
    stack.push(held);
    return () => {
      stack.splice(stack.indexOf(held), 1);
    };
  }, []);
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const target = event.target as HTMLElement | null;
  const typing = target?.matches("input:not([type=checkbox]):not([type=radio]), textarea, select") ?? false;
  if (typing) {
    if (event.key === "Escape") target?.blur();
    return;
  }
  for (const keys of stack.slice().reverse()) {
    const action = keys.current[event.key];
    if (action) {
      event.preventDefault();
      action();
      return;
    }
  }
});
