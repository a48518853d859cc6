import type { JSX } from "preact";
import { useSite } from "../context";
import { loadSamples } from "../data";
import { Histogram, lengthsOf } from "../histogram";
import type { Feed } from "../model";
import { count, Drawn, FLAG_HELP, Interval, Pairs, percent, Scroll, Shares, Status, useLoaded, words } from "../parts";
import { link } from "../route";

function Throughput({ rows }: { rows: Record<string, unknown>[] }): JSX.Element | null {
  if (!rows.length) return null;
  const names = ["completions", "generated_tokens", "seconds", "generated_tokens_per_second", "mean_running", "idle_seconds", "repetitions", "gpu_hours", "cost"];
  const used = names.filter((name) => rows.some((row) => row[name] !== null && row[name] !== undefined));
  const shown = (value: unknown): string => (typeof value === "number" ? value.toLocaleString("en-US", { maximumFractionDigits: value < 100 ? 2 : 0 }) : "–");
  return (
    <section>
      <h2>Throughput</h2>
      <Scroll label="Throughput of each execution">
        <table class="dense">
          <thead>
            <tr>{used.map((name) => <th key={name} scope="col">{words(name)}</th>)}</tr>
          </thead>
          <tbody>
            {rows.map((row, i) => (
              <tr key={i}>{used.map((name) => <td key={name}>{shown(row[name])}</td>)}</tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </section>
  );
}

function TaskOfRun({ feed, at, runKey }: { feed: Feed; at: number; runKey: string }): JSX.Element {
  const { index } = useSite();
  const samples = useLoaded(() => loadSamples(at), [at, index.version]);
  const lengths = samples.value && lengthsOf(samples.value.tokens, samples.value.status, index.statuses.length);
  const report = feed.report;
  const to = (query: Record<string, string>): string => link("samples", [], { run: runKey, task: feed.task, ...query });
  const marked = feed.flags.map((n, i): [string, number] => [index.flags[i] ?? "", n]).filter(([, n]) => n > 0);
  return (
    <section class="card">
      <h2>
        <a href={link("task", [feed.set])}>{feed.title}</a>
      </h2>
      <p class="quiet">
        {count(feed.present)} of {count(feed.planned)} completions, n = {feed.n}, task version {feed.version}
        {feed.maxTokens ? `, limit ${count(feed.maxTokens)} tokens` : ""}
        {report?.subset ? `, ${report.subset}` : ""}
      </p>
      <Shares names={index.statuses} counts={feed.statuses} />
      <p class="links">
        {feed.statuses.map((n, i) =>
          n ? (
            <a key={i} href={to({ status: index.statuses[i] ?? "" })}>
              {count(n)} <Status name={index.statuses[i] ?? ""} />
            </a>
          ) : null,
        )}
      </p>
      {marked.length > 0 && (
        <p class="links flagged">
          {marked.map(([name, n]) => (
            <a key={name} href={to({ flag: name })} title={FLAG_HELP[name]}>
              {count(n)} <span class="flag">{name}</span>
            </a>
          ))}
        </p>
      )}
      {report && (
        <>
          <Scroll label={`Metrics of ${feed.title}`}>
            <table class="dense metrics">
              <thead>
                <tr>
                  <th scope="col" class="name">metric</th>
                  <th scope="col">value</th>
                  <th scope="col">95%, run to run / over problems</th>
                  <th scope="col" class="name">intervals</th>
                  <th scope="col" class="name">note</th>
                </tr>
              </thead>
              <tbody>
                {report.metrics.map((metric) => (
                  <tr key={metric.name}>
                    <th scope="row" class="name">{metric.name}</th>
                    <td>{metric.text}{metric.unit === "%" ? "%" : ""}</td>
                    <td>{metric.bars.join(" / ") || "–"}</td>
                    <td>{metric.unit === "%" && <Interval metric={metric} />}</td>
                    <td class="name quiet">{metric.note}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </Scroll>
          <Pairs
            rows={[
              ["cut", percent(report.truncation)],
              ...(report.tokens
                ? ([
                    ["tokens per completion, mean", count(Math.round(report.tokens.mean))],
                    ["median", count(Math.round(report.tokens.p50))],
                    ["95th percentile", count(Math.round(report.tokens.p95))],
                    ["longest", count(report.tokens.longest)],
                  ] as [string, string][])
                : []),
              ...(report.disputesText ? ([["disputes", report.disputesText]] as [string, string][]) : []),
            ]}
          />
        </>
      )}
      {!report && <p class="notice">This task is not complete: it has no figures yet.</p>}
      {lengths && <Histogram lengths={lengths} names={index.statuses} title="Completion lengths by status" />}
      <div class="pictures">{(index.pictures[`feed ${at}`] ?? []).map((p) => <Drawn key={p.file} picture={p} />)}</div>
      <details>
        <summary>How it was asked</summary>
        <Pairs rows={Object.entries({ ...feed.sampling, ...feed.options }).map(([name, value]) => [words(name), String(value)])} />
        {feed.messages.map((message, i) => (
          <div key={i} class="message">
            <span class="role">{message.role}</span>
            <pre tabIndex={0}>{message.content}</pre>
          </div>
        ))}
      </details>
    </section>
  );
}

export function RunPage({ runKey }: { runKey: string }): JSX.Element {
  const site = useSite();
  const at = site.runOf(runKey);
  const run = site.index.runs[at];
  if (!run) return <p class="notice">There is no run {runKey} in this report.</p>;
  const mine = site.feedsOf(at);
  const names = (word: string): boolean => word === run.model || word.endsWith(`/${run.name}`);
  const warnings = site.index.leaderboard.notes.map((note) => note.text).filter((text) => text.split(/[\s,:;]+|\.(?:\s|$)/).some(names));
  const errors = mine.reduce((sum, feed) => sum + (site.index.feeds[feed]?.statuses[4] ?? 0), 0);
  return (
    <>
      <h1>{run.model}</h1>
      <p class="quiet">
        {run.label === run.model ? "" : `${run.label} · `}
        {run.name} · protocol {run.protocol}
        {run.evalkit ? ` · evalkit ${run.evalkit}` : ""}
      </p>
      {errors > 0 && <p class="notice">{count(errors)} completions ended in an error of the engine or the grader. They count 0 until they are done again.</p>}
      {run.imported.length > 0 && <p class="notice">This run was imported from another harness's log: what it did not record is not known.</p>}
      {warnings.map((note) => <p key={note} class="notice">{note}</p>)}
      {mine.map((feed) => <TaskOfRun key={feed} feed={site.index.feeds[feed]!} at={feed} runKey={run.key} />)}
      <Throughput rows={run.throughput} />
      <section>
        <h2>Settings</h2>
        <Pairs rows={[...run.settings, ...run.imported.map(([name, value]): [string, string] => [`imported.${name}`, value])]} />
      </section>
      <section>
        <h2>Environment</h2>
        <Pairs rows={run.environment} />
      </section>
    </>
  );
}
