// Loads the typesetting script and KaTeX's style once.
let loading: Promise<NonNullable<Window["evalkitTypesetting"]> | null> | null = null;

export function typesetting(): Promise<NonNullable<Window["evalkitTypesetting"]> | null> {
  loading ??= new Promise((resolve) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = "assets/katex.css";
    const script = document.createElement("script");
    script.src = "assets/typeset.js";
    script.onload = () => resolve(window.evalkitTypesetting ?? null);
    script.onerror = () => resolve(null);
    document.head.append(style, script);
  });
  return loading;
}
