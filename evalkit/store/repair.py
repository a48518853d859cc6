"""What mends a damaged line of a run's files: which command makes again what the line held."""

import shlex
from pathlib import Path

from evalkit.files import parse_json, read_file

_COMMANDS = {
    "scores.jsonl": "delete that line and run `evalkit score {run}`: completions are kept, and are graded again.",
    "scores.new.jsonl": "delete that file and run `evalkit score {run}`: the pass begins again.",
    "second_opinions.jsonl": "delete that line and run `evalkit score {run} --second-opinion NAME` again: only that "
    "completion is asked for.",
    "adjudications.jsonl": "restore the line from a copy, or delete it and run `evalkit adjudicate {run}`: that "
    "decision has to be taken again.",
    "settled.jsonl": "delete that line and run `evalkit settle {run}` again.",
    "throughput.jsonl": "delete that line: only the speed of one start is in it.",
}
_AGAIN = (
    "delete that line, then repeat the command that made the run (`evalkit run … -t {task}`): it generates only that "
    "sample. If that command is not run, the sample is lost."
)
_IMPORTED = (
    "the run was imported, so that nothing of it can be generated again: keep the line, move {run} away and import "
    "the log again with `evalkit import`."
)


def repair_hint(path: Path) -> str:
    """What to do about a damaged line of a file.

    Examples:
        >>> repair_hint(Path("results/x/math500/scores.jsonl"))
        'delete that line and run `evalkit score results/x`: completions are kept, and are graded again.'
    """
    run = path.parent if path.name == "throughput.jsonl" else path.parent.parent
    told = _COMMANDS.get(path.name)
    if path.name == "peer_scores.jsonl" or (path.name == "completions.jsonl" and _is_imported(run)):
        told = _IMPORTED
    elif path.name == "completions.jsonl":
        told = _AGAIN
    elif path.parent.name == "fidelity":
        told = "delete that line and run `evalkit fidelity` as before: only that text is measured again."
    if told is None:
        return "delete that line and repeat the command that wrote the file."
    return told.format(run=shlex.quote(str(run)), task=shlex.quote(path.parent.name))


def _is_imported(run: Path) -> bool:
    """Whether run.json says that the run was another harness's log."""
    try:
        return bool(parse_json(read_file(run / "run.json", below=run))["identity"]["engine"]["backend"] == "imported")
    except (OSError, ValueError, LookupError, TypeError):
        return False
