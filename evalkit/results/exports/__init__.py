"""A run in the formats of the places where results live: `export_run`, and one module a format."""

import importlib
import logging
from pathlib import Path

from evalkit.errors import EvalkitError, RunIncompleteError
from evalkit.results.exports.samples import TaskExport
from evalkit.results.formats.escaping import one_line
from evalkit.results.recreate import recreate_problems, recreate_task
from evalkit.results.runs import Run, run_path
from evalkit.store.run import RunDirectory

logger = logging.getLogger(__name__)

SAMPLES_ALONE = ("inspect", "parquet")  # these hold runs that are not complete
TARGETS = ("every-eval-ever", "hf-eval-results", "inspect", "lm-eval", "parquet")


def export_run(run: str | Path | Run, to: str, output: str | Path, *, data: str | Path | None = None) -> list[Path]:
    """Write a run in another format into the folder `output` and return the files.

    `to` is one of TARGETS; `data` is the folder with the tasks' data sets, None for where the run had them. Raises
    EvalkitError: no such format, not a run, data that is not at hand, a run that the format cannot hold.

    Of an incomplete run `inspect` and `parquet` get the samples that are there, with a warning. The other formats,
    which hold figures, refuse it.

    Examples:
        >>> from evalkit import import_run
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> row = {"question": "What is 6 * 7?", "answer": "42", "outputs": ["So it is 42.", "So it is 41."]}
        >>> _ = (folder / "log.jsonl").write_text(json.dumps(row))
        >>> fields = "text=outputs,problem=question,gold=answer"
        >>> run = import_run(folder / "log.jsonl", folder / "run", fields=fields, model="me/mine", workers=1)
        >>> [path.name for path in export_run(run.path, "parquet", folder / "out")]
        ['samples.parquet']
    """
    if to not in TARGETS:
        raise EvalkitError(
            f"There is no format {to!r} to export to.",
            f"{', '.join(TARGETS)}; a training set is made by `evalkit transfer`.",
        )
    path, folder = run_path(run, "export_run"), Path(output)
    if folder.is_symlink() and folder.parent == path:
        raise EvalkitError(f"{folder} is a link, which is not followed.", "give another folder with -o.")
    if folder.exists() and any(folder.iterdir() if folder.is_dir() else [folder]):
        raise EvalkitError(f"{folder} exists and is not empty.", "give another folder with -o.")
    tasks = []
    for recorded in RunDirectory(path).tasks().values():
        made = recreate_task(recorded)
        problems = {p.id: p for p in recreate_problems(recorded, made, str(data) if data else None)}
        tasks.append(TaskExport(recorded, made, problems))
    if to in SAMPLES_ALONE:
        for task in [each for each in tasks if not each.run.files.completions_path.is_file()]:
            logger.warning("%s is left out: it has no completions yet", one_line(task.name))
            tasks.remove(task)
        if not tasks:
            raise RunIncompleteError(f"{path} has no completions yet.", "run the command that started it again.")
        for task in tasks:
            if not task.counts.whole:
                told = f"{task.counts.in_words(task.graded)}; {to} gets the samples that are there, and no figure"
                logger.warning("%s is not complete: %s", one_line(task.name), told)
    module = importlib.import_module(f"evalkit.results.exports.{to.replace('-', '_')}")
    written: list[Path] = module.write(tasks, folder)
    return written
