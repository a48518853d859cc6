import type { JSX } from "preact";
import { useSite } from "../context";
import { Drawn, Scroll, Status, Words } from "../parts";
import { link } from "../route";

export function DistillationPage(): JSX.Element {
  const { index } = useSite();
  const found = index.distillation;
  if (!found) {
    return (
      <>
        <h1>Distillation</h1>
        <p class="notice">No teacher was named. This page compares students with it: <code>evalkit view RESULTS --student RUNS --teacher RUNS --base RUNS</code>.</p>
      </>
    );
  }
  return (
    <>
      <h1>Distillation: {found.title}</h1>
      <p class="quiet">
        teacher: {found.teacher}
        {found.base ? ` · base: ${found.base}` : ""}
      </p>
      <ul class="verdict">
        {found.verdict.map((sentence) => <li key={sentence}>{sentence}</li>)}
      </ul>
      {found.details.length > 0 && (
        <details>
          <summary>{found.details.length} more findings in words</summary>
          <ul>{found.details.map((sentence) => <li key={sentence}>{sentence}</li>)}</ul>
        </details>
      )}
      {found.tables.slice(0, 1).map((table) => <Words key={table.heading} table={table} />)}
      <div class="pictures">{found.pictures.map((p) => <Drawn key={p.file} picture={p} />)}</div>
      {found.tables.slice(1).map((table, i) => <Words key={i} table={table} />)}
      {found.notes.length > 0 && (
        <section>
          <h2>Notes</h2>
          <ul class="notes">{found.notes.map((note) => <li key={note}>{note}</li>)}</ul>
        </section>
      )}
    </>
  );
}

export function FidelityPage(): JSX.Element {
  const { index, runLabel } = useSite();
  return (
    <>
      <h1>Fidelity</h1>
      {!index.fidelity.length && (
        <p class="notice">
          No run has fidelity.json. <code>evalkit fidelity</code> measures how close a student's distributions are to its teacher's.
        </p>
      )}
      {index.fidelity.map((page) => (
        <section key={page.run}>
          <p>
            {page.teacher && `Teacher: ${page.teacher}. Texts: ${page.source}. `}
            Run: <a href={link("run", [index.runs[page.run]?.key ?? ""])}>{runLabel(page.run)}</a>
          </p>
          {page.notes.map((note) => <p key={note} class="notice">{note}</p>)}
          {page.tables.map((table, i) => <Words key={i} table={table} />)}
        </section>
      ))}
    </>
  );
}

export function DisputesPage(): JSX.Element {
  const { index, runLabel } = useSite();
  return (
    <>
      <h1>Disputes and decisions</h1>
      {!index.disputes.length && (
        <p class="notice">
          No grader differs and no person has decided. <code>evalkit score --second-opinion</code> asks a second grader, <code>evalkit adjudicate</code> a person.
        </p>
      )}
      {index.disputes.length > 0 && (
        <Scroll label="Disputes and decisions">
          <table>
            <thead>
              <tr>
                {["problem", "sample", "evalkit", "second grader", "a person", "why", "run", "task"].map((name, i) => <th key={name} scope="col" class={i === 1 ? "" : "name"}>{name}</th>)}
              </tr>
            </thead>
            <tbody>
              {index.disputes.map((one, i) => {
                const feed = index.feeds[one.feed]!;
                const set = index.problems[feed.set]!;
                const run = index.runs[feed.run]!;
                const id = one.problem === null ? "" : (set.ids[one.problem] ?? "");
                return (
                  <tr key={i}>
                    <th scope="row" class="name">
                      <a href={link("problem", [feed.set, id], { runs: run.key, [`i.${run.key}`]: one.index })}>{id}</a>
                    </th>
                    <td>{one.index}</td>
                    <td class="name">{one.ours && <Status name={one.ours} />}</td>
                    <td class="name">{one.theirs && <><Status name={one.theirs} /> {one.grader}</>}</td>
                    <td class="name">{one.verdict ? <><Status name={one.verdict} /> {one.who}</> : "open"}</td>
                    <td class="name long">{one.why || one.said}</td>
                    <td class="name">{runLabel(feed.run)}</td>
                    <td class="name">{feed.title}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </Scroll>
      )}
    </>
  );
}
