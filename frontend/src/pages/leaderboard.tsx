import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { useSite } from "../context";
import type { Cell, Column, Note, Row } from "../model";
import { change, link, type Route } from "../route";
import { Chip, count, Drawn, Interval, Name, Scroll } from "../parts";

function range(rows: Row[], i: number): [number, number] {
  const cells = rows.map((row) => row.cells[i]).filter((cell): cell is Cell => Boolean(cell));
  if (cells.every((cell) => cell.unit === "%")) return [0, 100];
  const ends = cells.flatMap((cell) => [cell.value ?? 0, ...(cell.run ?? []), ...(cell.problems ?? [])]);
  return [Math.min(0, ...ends), Math.max(1, ...ends)];
}

function Figure({ cell, column, row, low, high }: { cell: Cell; column: Column; row: Row; low: number; high: number }): JSX.Element {
  const { index } = useSite();
  const feed = row.run === null ? -1 : index.feeds.findIndex((f) => f.run === row.run && f.task === column.task);
  const text = cell.text;
  return (
    <td title={cell.source || undefined}>
      {feed >= 0 ? (
        <a class={cell.best ? "best" : ""} href={link("samples", [], { run: index.runs[row.run ?? 0]?.key, task: column.task })} title={`The samples of ${row.label}, ${column.title}`}>
          {text}
        </a>
      ) : (
        <span class={cell.best ? "best" : ""}>{text}</span>
      )}
      {cell.mark && <sup>{cell.mark.normalize("NFKC")}</sup>}
      <small>{cell.bars.join(" / ")}</small>
      <Interval metric={cell} low={low} high={high} />
      <small>{cell.basis.join(", ")}</small>
      {cell.comparison && <small>{cell.comparison}</small>}
    </td>
  );
}

function Growing(): JSX.Element | null {
  const { index, runLabel } = useSite();
  const feeds = index.feeds.filter((feed) => !feed.report);
  if (!feeds.length) return null;
  return (
    <section>
      <h2>Not complete</h2>
      <Scroll label="Runs that are not complete">
        <table>
          <thead>
            <tr>
              <th scope="col" class="name">run</th>
              <th scope="col" class="name">task</th>
              <th scope="col">completions</th>
              <th scope="col">correct so far</th>
            </tr>
          </thead>
          <tbody>
            {feeds.map((feed) => {
              const scored = feed.present - (feed.statuses.at(-1) ?? 0);
              return (
                <tr key={`${feed.run} ${feed.task}`}>
                  <th scope="row" class="name">
                    <a href={link("run", [index.runs[feed.run]?.key ?? ""])}>{runLabel(feed.run)}</a>
                  </th>
                  <td class="name">
                    <a href={link("samples", [], { run: index.runs[feed.run]?.key, task: feed.task })}>{feed.title}</a>
                  </td>
                  <td>
                    {count(feed.present)} of {count(feed.planned)}
                    <progress value={feed.present} max={feed.planned} aria-label="completions so far" />
                  </td>
                  <td>{scored ? `${((100 * (feed.statuses[0] ?? 0)) / scored).toFixed(1)}% of ${count(scored)} graded` : "–"}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scroll>
      <p class="quiet">What is correct so far is not a score: short completions end first.</p>
    </section>
  );
}

export function Leaderboard({ route }: { route: Route }): JSX.Element {
  const { index } = useSite();
  const { columns, rows, caption, notes } = index.leaderboard;
  const query = route.query;
  const model = query.get("model") ?? "";
  // a task, and a metric of a task, that only published rows have is not shown unless it is asked for
  const more = query.get("published") === "more";
  const own = columns.filter((_, i) => rows.some((row) => !row.published && row.cells[i]));
  const ownTasks = new Set(own.map((c) => c.task));
  const foreign = own.length ? columns.map((c) => c.task).filter((task) => !ownTasks.has(task)) : [];
  const hiddenTasks = new Set(query.has("without") ? (query.get("without") ?? "").split("|").filter(Boolean) : foreign);
  const hidden = (column: Column): boolean => !more && ownTasks.has(column.task) && !own.includes(column);
  const hiddenProtocols = new Set((query.get("protocols") ?? "").split("|").filter(Boolean));
  const published = query.get("published") !== "no";
  const [sort, descending] = [query.get("sort") ?? "", query.get("order") !== "up"];
  const tasks = [...new Map(columns.map((c) => [c.task, c.short])).entries()];
  const protocols = [...new Set(rows.filter((row) => !row.published).map((row) => row.protocol))];
  const shown = columns.map((column, i): [Column, number] => [column, i]).filter(([column]) => !hiddenTasks.has(column.task) && !hidden(column));
  let chosen = rows.filter(
    (row) =>
      (published || !row.published) &&
      (more || !row.more) &&
      (row.published || !hiddenProtocols.has(row.protocol)) &&
      row.label.toLowerCase().includes(model.toLowerCase()) &&
      shown.some(([, i]) => row.cells[i]),
  );
  // runs first, each with the published figures of its model; then the other published figures
  const kin = new Set(rows.filter((row) => !row.published).map((row) => row.kin));
  chosen = [...chosen.filter((row) => !row.published || kin.has(row.kin)), ...chosen.filter((row) => row.published && !kin.has(row.kin))];
  const by = shown.find(([column]) => `${column.task} ${column.metric}` === sort)?.[1];
  if (sort === "model") chosen = [...chosen].sort((a, b) => (descending ? -1 : 1) * b.label.localeCompare(a.label, undefined, { numeric: true }) * -1);
  else if (by !== undefined) {
    const value = (row: Row): number => row.cells[by]?.value ?? (descending ? -Infinity : Infinity);
    chosen = [...chosen].sort((a, b) => (descending ? value(b) - value(a) : value(a) - value(b)));
  }
  const cells = chosen.flatMap((row) => shown.map(([, i]) => row.cells[i]));
  const tells = ({ mark, columns, source, cell }: Note): boolean => {
    if (mark) return cells.some((one) => one?.mark.split(",").includes(mark));
    if (columns.length) return shown.some(([, i]) => columns.includes(i));
    if (source) return cells.some((one) => one?.source === source);
    const row = cell && rows[cell[0]];
    return !cell || (row !== undefined && row !== null && chosen.includes(row) && shown.some(([, i]) => i === cell[1]));
  };
  const told = notes.filter(tells);
  const toggle = (set: Set<string>, name: string): string => {
    const now = new Set(set);
    if (!now.delete(name)) now.add(name);
    return [...now].join("|");
  };
  const head = (name: string, label: JSX.Element | string, kind: string): JSX.Element => (
    <th scope="col" class={kind} aria-sort={sort === name ? (descending ? "descending" : "ascending") : "none"}>
      <button type="button" class="sort" onClick={() => change(route, { sort: name, order: sort === name && descending ? "up" : null })}>
        {label}
        <span class="arrow" aria-hidden="true">{sort === name ? (descending ? "▾" : "▴") : "↕"}</span>
      </button>
    </th>
  );
  return (
    <>
      <h1>Leaderboard</h1>
      <form class="filters" onSubmit={(e) => e.preventDefault()}>
        <label>
          Models <ModelFilter value={model} route={route} />
        </label>
        {tasks.length > 1 && (
          <fieldset>
            <legend>Tasks</legend>
            {tasks.map(([task, title]) => (
              <Chip key={task} on={!hiddenTasks.has(task)} press={() => change(route, { without: toggle(hiddenTasks, task) || "|" })}>
                {title}
              </Chip>
            ))}
          </fieldset>
        )}
        {protocols.length > 1 && (
          <fieldset>
            <legend>Protocols</legend>
            {protocols.map((name) => (
              <Chip key={name} on={!hiddenProtocols.has(name)} press={() => change(route, { protocols: toggle(hiddenProtocols, name) })}>
                {name}
              </Chip>
            ))}
          </fieldset>
        )}
        {rows.some((row) => row.published) && (
          <fieldset>
            <legend>Published</legend>
            <Chip on={published} press={() => change(route, { published: published ? "no" : null })}>
              published figures
            </Chip>
            {rows.some((row) => row.more) && (
              <Chip on={more} press={() => change(route, { published: more ? null : "more" })}>
                all their models and metrics
              </Chip>
            )}
          </fieldset>
        )}
      </form>
      {rows.length > 0 && (
        <Scroll label="Leaderboard">
          <table class="leaderboard">
            <thead>
              <tr>
                {head("model", "model", "name")}
                {shown.map(([column, i]) => (
                  <>
                    {head(
                      `${column.task} ${column.metric}`,
                      <>
                        <span title={column.title}>{column.short}</span> <small>{column.metric}</small>
                      </>,
                      `figure c${i}`,
                    )}
                  </>
                ))}
              </tr>
            </thead>
            <tbody>
              {chosen.map((row) => (
                <tr key={`${row.label} ${row.run}`} class={row.published ? "published" : ""}>
                  <th scope="row" class="name">
                    {row.run === null ? <Name text={row.label} /> : <a href={link("run", [index.runs[row.run]?.key ?? ""])}><Name text={row.label} /></a>}
                    {row.protocol && <small>{row.protocol}</small>}
                  </th>
                  {shown.map(([column, i]) => {
                    const cell = row.cells[i];
                    const [low, high] = range(rows, i);
                    return cell ? <Figure key={i} cell={cell} column={column} row={row} low={low} high={high} /> : <td key={i}>–</td>;
                  })}
                </tr>
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      {!chosen.length && rows.length > 0 && <p class="notice">No row matches the filters.</p>}
      {caption && <p class="quiet">{caption.replace(/\.?$/, ".")} A thick bar is run to run, a thin one over problems. A figure leads to its samples.</p>}
      {told.length > 0 && (
        <ul class="notes">
          {told.map((note) => (
            <li key={note.text}>
              {note.mark && <sup>{note.mark.normalize("NFKC")}</sup>}
              {note.text.slice(note.mark.length)}
            </li>
          ))}
        </ul>
      )}
      <Growing />
      <section>
        <h2>Tasks</h2>
        <ul class="plainlist">
          {index.problems.map((set, at) => (
            <li key={set.key}>
              <a href={link("task", [at])}>{set.title}</a> <span class="quiet">{count(set.ids.length)} problems</span>
            </li>
          ))}
        </ul>
      </section>
      {(index.pictures["bars"] ?? []).length > 0 && (
        <section>
          <h2>Picture</h2>
          {index.pictures["bars"]?.map((picture) => <Drawn key={picture.file} picture={picture} />)}
        </section>
      )}
    </>
  );
}

function ModelFilter({ value, route }: { value: string; route: Route }): JSX.Element {
  const [typed, setTyped] = useState(value);
  return (
    <input
      type="search"
      value={typed}
      placeholder="name contains …"
      onInput={(e) => {
        setTyped(e.currentTarget.value);
        change(route, { model: e.currentTarget.value });
      }}
    />
  );
}
