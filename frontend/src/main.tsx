import { Component, type ComponentChildren, type JSX, render } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { SiteContext, siteOf } from "./context";
import { forget, loadIndex, SERVED } from "./data";
import { useKeys } from "./keys";
import type { Index } from "./model";
import { ComparePage } from "./pages/compare";
import { Leaderboard } from "./pages/leaderboard";
import { ProblemPage } from "./pages/problem";
import { RunPage } from "./pages/run";
import { SamplesPage } from "./pages/samples";
import { DisputesPage, DistillationPage, FidelityPage } from "./pages/tables";
import { TaskPage } from "./pages/task";
import { link, type Route, useRoute } from "./route";
import "./style.css";

const LOOK_EVERY = 2000;
const KEYS: [string, string][] = [
  ["j, k", "next and previous row of a list, or problem"],
  ["n, p", "next and previous sample"],
  ["Enter", "open the row"],
  ["o", "fold and unfold thinking"],
  ["r", "raw text and typeset"],
  ["/", "search the samples"],
  ["l, s, c", "leaderboard, samples, compare"],
  ["u", "back"],
  ["?", "this list"],
];

class Boundary extends Component<{ children: ComponentChildren; at: string }, { error: string }> {
  override state = { error: "" };
  override componentDidCatch(error: unknown): void {
    console.error(error);
    this.setState({ error: String(error) });
  }
  override componentDidUpdate(before: { at: string }): void {
    if (before.at !== this.props.at && this.state.error) this.setState({ error: "" });
  }
  override render(): ComponentChildren {
    return this.state.error ? <p class="failed" role="alert">This page cannot be shown: {this.state.error}</p> : this.props.children;
  }
}

function Page({ route }: { route: Route }): JSX.Element {
  switch (route.page) {
    case "leaderboard":
      return <Leaderboard route={route} />;
    case "run":
      return <RunPage runKey={route.parts[0] ?? ""} />;
    case "task":
      return <TaskPage route={route} />;
    case "problem":
      return <ProblemPage route={route} />;
    case "samples":
      return <SamplesPage route={route} />;
    case "compare":
      return <ComparePage route={route} />;
    case "distillation":
      return <DistillationPage />;
    case "fidelity":
      return <FidelityPage />;
    case "disputes":
      return <DisputesPage />;
    default:
      return <p class="notice">There is no such page.</p>;
  }
}

function storedTheme(): string {
  try {
    return localStorage.getItem("evalkit-theme") ?? "";
  } catch {
    return "";
  }
}

function ThemeButton(): JSX.Element {
  const [theme, setTheme] = useState(storedTheme);
  useEffect(() => {
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem("evalkit-theme", theme);
    } catch {
      // a browser that keeps nothing: the theme holds until the page is left
    }
  }, [theme]);
  const next = { "": "dark", dark: "light", light: "" }[theme] ?? "";
  return (
    <button type="button" class="plain" onClick={() => setTheme(next)}>
      {{ "": "◐ auto", dark: "● dark", light: "○ light" }[theme]}<span class="hidden"> colours</span>
    </button>
  );
}

function Help({ close }: { close: () => void }): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} onClose={close} aria-label="Keys">
      <h2>Keys</h2>
      <dl class="keys">
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt><kbd>{key}</kbd></dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button class="chip">Close</button>
      </form>
    </dialog>
  );
}

// Asks the server whether the runs have gone on, and loads the index again when they have.
function useIndex(): { index: Index | null; error: string } {
  const [index, setIndex] = useState<Index | null>(null);
  const [error, setError] = useState("");
  const version = useRef(0);
  useEffect(() => {
    loadIndex().then(
      (found) => {
        version.current = found.version;
        setIndex(found);
      },
      (reason: unknown) => setError(`The report's data cannot be read. ${String(reason)}`),
    );
  }, []);
  useEffect(() => {
    if (!index?.live || !SERVED) return;
    const timer = setInterval(() => {
      fetch("data/state.json")
        .then((answer) => answer.json())
        .then(async (state: { version: number }) => {
          if (state.version === version.current) return;
          version.current = state.version;
          forget();
          setIndex(await loadIndex());
          setError("");
        })
        .catch(() => setError("The server does not answer: this page shows what it had."));
    }, LOOK_EVERY);
    return () => clearInterval(timer);
  }, [index?.live]);
  return { index, error };
}

const PAGES: [string, string][] = [
  ["leaderboard", "Leaderboard"],
  ["samples", "Samples"],
  ["compare", "Compare"],
  ["distillation", "Distillation"],
  ["fidelity", "Fidelity"],
  ["disputes", "Disputes"],
];

function App(): JSX.Element {
  const route = useRoute();
  const { index, error } = useIndex();
  const [help, setHelp] = useState(false);
  const site = useMemo(() => index && siteOf(index), [index]);
  const main = useRef<HTMLElement>(null);
  const at = `${route.page}/${route.parts.join("/")}`;
  useKeys({
    "?": () => setHelp(true),
    "/": () => {
      location.hash = link("samples");
      setTimeout(() => document.querySelector<HTMLInputElement>("input[name=q]")?.focus(), 50);
    },
    l: () => (location.hash = link("leaderboard")),
    s: () => (location.hash = link("samples")),
    c: () => (location.hash = link("compare")),
    u: () => history.back(),
  });
  const before = useRef(at);
  useEffect(() => {
    const title = main.current?.querySelector("h1")?.textContent;
    document.title = title ? `${title} · evalkit report` : "evalkit report";
    if (before.current !== at) {
      before.current = at;
      scrollTo(0, 0);
      main.current?.focus({ preventScroll: true });
    }
  });
  return (
    <>
      <a class="skip" href="#main" onClick={(e) => { e.preventDefault(); main.current?.focus(); }}>To the content</a>
      <header>
        <nav aria-label="Pages">
          <a class="brand" href={link("leaderboard")}>evalkit</a>
          {PAGES.filter(([page]) => !index || page !== "distillation" || index.distillation || route.page === page)
            .filter(([page]) => !index || page !== "fidelity" || index.fidelity.length || route.page === page)
            .filter(([page]) => !index || page !== "disputes" || index.disputes.length || route.page === page)
            .map(([page, label]) => (
              <a key={page} href={link(page)} aria-current={route.page === page ? "page" : undefined}>{label}</a>
            ))}
        </nav>
        <span class="tools">
          {index?.live && SERVED && <span class="live" role="status">● following</span>}
          <ThemeButton />
          <button type="button" class="plain" aria-label="Keys" onClick={() => setHelp(true)}>?</button>
        </span>
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        {error && <p class="failed" role="alert">{error}</p>}
        {!site && !error && <p class="loading">Loading the report …</p>}
        {site && (
          <SiteContext.Provider value={site}>
            {site.index.notices.map((notice) => <p key={notice} class="notice">{notice}</p>)}
            <Boundary at={at}>
              <Page key={route.page} route={route} />
            </Boundary>
          </SiteContext.Provider>
        )}
      </main>
      {help && <Help close={() => setHelp(false)} />}
    </>
  );
}

const place = document.getElementById("page");
if (place) {
  place.replaceChildren();
  render(<App />, place);
}
