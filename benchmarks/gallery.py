"""Every picture and table with 2, 4 and 12 invented models: ties, missing tasks, long names, a code task.

python benchmarks/gallery.py FOLDER [--only KIND] [--docs FOLDER]
Writes PNG, SVG and PDF files, tables in every format, and index.html with all of them; --docs copies those that
docs/gallery.md shows.
"""

import argparse
import shutil
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from synthetic_runs import Length, write_run

from evalkit.benchmark.registry import TaskSpec
from evalkit.errors import EvalkitError
from evalkit.results.compare import compare_runs
from evalkit.results.entries import load_entries
from evalkit.results.formats import format_names, renderer
from evalkit.results.formats.comparison import comparison_terminal
from evalkit.results.formats.renderers import terminal
from evalkit.results.plots.drawing import LOOKS, Look, save
from evalkit.results.plots.kinds import KINDS, Request, draw
from evalkit.results.published import load_published
from evalkit.results.report import build_report, write_report
from evalkit.results.sides import load_sides
from evalkit.results.table_options import TableOptions, build

TITLES = {
    "aime24": "AIME 2024",
    "math500": "MATH-500",
    "gpqa_diamond": "GPQA Diamond",
    "livecodebench": "LiveCodeBench",
}
SIZES = {"aime24": (30, 16), "math500": (500, 4), "gpqa_diamond": (198, 4), "livecodebench": (160, 4)}
EASE = {"aime24": -0.6, "math500": 1.6, "gpqa_diamond": -0.2, "livecodebench": -0.9}
ENDINGS = {"latex": "tex", "typst": "typ", "terminal": "txt"}
# name, ability (log odds), mean tokens, tasks that are missing
Model = tuple[str, float, int, tuple[str, ...]]
TWO: list[Model] = [("org/base", -1.2, 900, ()), ("org/student", 0.4, 4200, ())]
FOUR: list[Model] = [
    ("org/base", -1.2, 900, ()),
    ("deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B", 0.0, 5200, ()),
    ("org/student", 0.4, 4200, ("livecodebench",)),
    ("org/teacher", 1.6, 7500, ()),
]
TWELVE: list[Model] = [
    *FOUR,
    ("org/tie-one", 0.4, 4300, ()),
    ("org/never-right", -30.0, 300, ()),
    *((f"trained/sft/checkpoint-{step}", -0.9 + step / 800, 1500 + 2 * step, ()) for step in (250, 500, 1000)),
    *((f"trained/rl/checkpoint-{step}", -0.3 + step / 700, 4500 - step, ()) for step in (250, 1000)),
    (
        "a-team-of-many/Qwen2.5-7B-Instruct-open-thoughts-114k-cold-start-then-grpo-step-3-seed-42",
        0.8,
        6100,
        ("aime24",),
    ),
]
SETS = {"2": TWO, "4": FOUR, "12": TWELVE}


def lengths(mean: int, seed: int) -> Length:
    """Lengths of a log-normal distribution, cut at the limit by `write_run`."""
    own = np.random.default_rng(seed)
    return lambda rng, i: int(mean * own.lognormal(-0.25, 0.7)) + 1


def values(task: str, ability: float, seed: int) -> list[list[bool]]:
    """Samples of one model: the problems' difficulties are those of every model, each with some of its own."""
    problems, n = SIZES[task]
    difficulty = np.random.default_rng(sum(map(ord, task))).normal(0, 2.2, (problems, 1))
    rng = np.random.default_rng(seed)
    odds = ability * 1.5 + EASE[task] - difficulty + rng.normal(0, 0.8, (problems, 1))
    return [[bool(v) for v in row] for row in rng.random((problems, n)) < 1 / (1 + np.exp(-odds))]


def write_models(folder: Path, models: list[Model]) -> None:
    for i, (name, ability, mean, missing) in enumerate(models):
        tasks = {task: values(task, ability, i) for task in SIZES if task not in missing}
        path = folder / name / "deepseek-r1"
        run = write_run(path, name, tasks, titles=TITLES, length=lengths(mean, i), limit=16384)
        if "livecodebench" in tasks:  # its own metrics need the data set, which is not invented
            found = run.task("livecodebench")
            write_report(run, build_report(found, TaskSpec("livecodebench").create(), None))


def pictures(folder: Path, runs: Path, size: str, only: str | None) -> list[Path]:
    """Draw every kind on the screen and on paper, and return the PNG files."""
    drawn = []
    own = runs / "org"
    for kind in KINDS:
        if only not in (None, kind):
            continue
        for look in LOOKS.values():
            task = None if kind in ("bars", "steps", "gap") else "aime24"
            try:
                figure = draw(kind, _request(kind, runs, own, task, look))
            except EvalkitError as error:
                print(f"{kind} of {size} models: {error.message}", file=sys.stderr)
                break
            path = folder / f"{kind}-{size}-{look.name}.png"
            save(figure, path)
            for ending in (".svg", ".pdf"):
                save(figure, path.with_suffix(ending))
            drawn.append(path)
    return drawn


def _request(kind: str, runs: Path, own: Path, task: str | None, look: Look) -> Request:
    needs_roles = kind in ("gap", "crossing", "lineage", "thinking")
    published = load_published("deepseek-r1") if kind == "bars" else []
    distilled = [f for f in published if f.model == "DeepSeek-R1-Distill-Qwen-1.5B"]
    if kind == "steps":
        distilled = [f for f in load_published("deepseek-r1") if f.model == "DeepSeek-R1-Distill-Qwen-7B"]
    students = [own / "student"] + ([own / "tie-one"] if (own / "tie-one").exists() else [])
    chosen = students if needs_roles else [runs]
    if kind == "steps" and (runs / "trained").exists():
        chosen = [runs / "trained"]
    return Request(chosen, task, distilled, own / "base", own / "teacher", look)


def tables(folder: Path, runs: Path, size: str) -> list[Path]:
    """Write the leaderboard in every format, for terminals of two widths, and a comparison."""
    entries, notes = load_entries([runs])
    names = [entry.report.model for entry in entries]
    roles = {role: () for role in ("base", "teacher") if any(role in name for name in names)}
    groups: dict[str, tuple[str, ...]] = {**roles, "students": ("DeepSeek*",)}
    found = build(TableOptions(published=("deepseek-r1",), groups=groups, title=f"{size} models"), entries, notes)
    written = []
    for form in format_names():
        path = folder / f"table-{size}.{ENDINGS.get(form, form)}"
        path.write_text(renderer(form)(found))
        written.append(path)
    for width in (80, 140):
        path = folder / f"table-{size}-{width}.txt"
        path.write_text(terminal.render(found, width))
        written.append(path)
    sides, _ = load_sides(sorted({e.run for e in entries if not e.report.model.startswith("trained")})[:4])
    path = folder / f"compare-{size}.txt"
    path.write_text(comparison_terminal(compare_runs(sides, 0, False, 0.03), most_flips=3, width=100))
    return [*written, path]


def page(folder: Path, drawn: list[Path], written: list[Path]) -> None:
    """index.html with every picture in its own size, and every table."""
    body = [f'<figure><figcaption>{p.name}</figcaption><img src="{p.name}"></figure>' for p in drawn]
    show: Callable[[Path], str] = lambda p: f"<h2>{p.name}</h2><pre>{escape(p.read_text())}</pre>"  # noqa: E731
    body += [show(p) for p in written if p.suffix in (".txt", ".md")]
    (folder / "index.html").write_text(f"<!doctype html><meta charset=utf-8><title>Gallery</title>{''.join(body)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", metavar="KIND")
    parser.add_argument("--sizes", default="2,4,12")
    parser.add_argument("--docs", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    drawn, written = [], []
    for size in options.sizes.split(","):
        runs = options.folder / "runs" / size
        if not runs.exists():
            write_models(runs, SETS[size])
        drawn += pictures(options.folder, runs, size, options.only)
        written += tables(options.folder, runs, size) if options.only is None else []
    if options.only is None:
        page(options.folder, drawn, written)
    if options.docs is not None:
        options.docs.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            size = "12" if kind in ("bars", "steps", "map") else "4"
            shutil.copy(options.folder / f"{kind}-{size}-screen.png", options.docs / f"{kind}.png")
    print(f"{len(drawn)} pictures and {len(written)} tables in {options.folder}")


if __name__ == "__main__":
    main()
