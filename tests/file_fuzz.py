"""Files of strangers, changed by a seed: what each command says of them, and whether it holds its promises.

A workspace has one file of every format. A mutant is one file of it with one change: another value or type in a field,
a field that is missing or twice, a cut or a flipped byte, a link, a pipe or a device in its place. Every command that
reads the file is run on it in this process, watched for hangs and for memory.
"""

import csv
import gzip
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import traceback
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from peer_logs import WRITERS
from synthetic import write_all

from evalkit.cli.main import run
from evalkit.results.fidelity import FidelityFigure, FidelityReport, StudentFidelity
from evalkit.store.lines import encode_line
from evalkit.visible import visible

REPOSITORY = Path(__file__).parent.parent
CHECKPOINT = REPOSITORY / "examples" / "tiny_distill" / "student-distilled"
HANG = 60  # seconds: ten times what the slowest command takes on a busy machine
MEMORY = 1 << 30

DEEP = "[" * 100_000 + "]" * 100_000


class Raw(str):
    """JSON text that `json.dumps` does not write."""


VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    1.5,
    1e308,
    -1e308,
    1e-320,
    2**31,
    2**53 + 1,
    2**63,
    -(2**63) - 1,
    Raw("1" + "0" * 400),
    Raw("1" + "0" * 5000),
    Raw("NaN"),
    Raw("-Infinity"),
    Raw("1e999"),
    Raw(DEEP),
    Raw('{"a":' * 2000 + "1" + "}" * 2000),
    Raw('"\\ud800"'),
    Raw('"\\udcff\\u0000"'),
    "",
    " ",
    "7",
    "\x1b[31m\x1b]0;owned\x07",
    "\x9b31m\x7f\x85",
    "\u202eevil\u2066",
    "\u200b\u200d\U000e0041\ufeff",
    "../../victim",
    "/etc/passwd",
    "a/b",
    "..",
    "x" * 300,
    "x" * 100_000,
    "=1+1",
    " \uff1d1+1",
    "[x] & $\\frac{1}{ % # _ ~ ^",
    "$\\undefined{",
    "<script>alert(1)</script>",
    "a|b\nc\r\nd",
    "{{7*7}}{% for x in [] %}",
    [],
    ["a"],
    [None],
    [[]],
    [1, 2],
    {},
    {"a": 1},
    {"": None},
)


@dataclass(frozen=True)
class Target:
    """Files that one kind of command reads: `folder` below the workspace, the files to change, and the commands.

    In a command `{w}` is the workspace, `{f}` the folder, `{o}` a path where nothing is yet. `weight` is how often the
    target is drawn.
    """

    name: str
    folder: str
    files: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    weight: int = 10


@dataclass(frozen=True)
class Finding:
    """A promise that was broken: which mutant, which command, and what came."""

    mutant: str
    command: str
    told: str


READING = (
    ("leaderboard", "{f}"),
    *(("leaderboard", "{f}", "-f", form) for form in ("csv", "html", "json", "latex", "md", "model-card")),
    ("leaderboard", "{f}", "--published", "deepseek-r1", "-m", "pass@2"),
    ("verify", "{f}"),
    ("samples", "{run}", "--most", "3"),
    ("samples", "{run}", "--json"),
    ("samples", "{run}", "--disputed", "--full"),
    ("compare", "{run}", "{other}", "--across-protocols"),
    ("compare", "{other}", "{run}", "--across-protocols", "-f", "json"),
    ("adjudicate", "{run}", "--export", "{o}"),
)
DISTILLING = (
    ("distill", "{run}", "--teacher", "{other}", "--base", "{base}"),
    *(("distill", "{run}", "--teacher", "{other}", "-o", "{o}" + ending) for ending in (".html", ".tex", ".json")),
    *(("distill", "{other}", "--teacher", "{run}", "-o", "{o}" + ending) for ending in (".html", ".md", ".json")),
)
EXPORTS = tuple(
    ("export", "{run}", "--to", form, "-o", "{o}") for form in ("every-eval-ever", "inspect", "lm-eval", "parquet")
)
PLOTS = tuple(
    ("plot", kind, "{f}", "-o", "{o}.svg") for kind in ("bars", "tokens", "k", "map", "lengths", "budget", "steps")
)
RUN_FILES: tuple[str, ...] = (
    "run.json",
    "*/report.json",
    "*/completions.jsonl",
    "*/scores.jsonl",
    "*/second_opinions.jsonl",
)
RUN_FILES += ("*/adjudications.jsonl", "throughput.jsonl", "fidelity.json", "*/peer_scores.jsonl", "*/problems.jsonl")


def targets() -> list[Target]:
    def of_run(folder: str, other: str, base: str) -> list[Target]:
        def place(commands: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
            return tuple(
                tuple(
                    part.replace("{run}", "{f}").replace("{other}", other).replace("{base}", base) for part in command
                )
                for command in commands
            )

        return [
            Target(f"{folder}: read", folder, RUN_FILES, place(READING), 40),
            Target(f"{folder}: distill", folder, RUN_FILES, place(DISTILLING), 4),
            Target(f"{folder}: export", folder, RUN_FILES, place(EXPORTS), 8),
            Target(f"{folder}: plot", folder, RUN_FILES, place(PLOTS), 2),
            Target(f"{folder}: grade", folder, RUN_FILES, place([("score", "{run}", "--workers", "1")]), 1),
            Target(f"{folder}: peer", folder, RUN_FILES, place([("grade-diff", "{run}", "--against", "peer")]), 4),
        ]

    replay: tuple[str, ...] = ("run", "lab/model", "--engine", "replay", "--dry-run")
    replay = (*replay, "--allow-changed-data")
    data = tuple((*replay, "-t", task, "--recorded", "{w}/replay/r.jsonl", "--data", "{f}") for task in _DATA)
    own = (
        (*replay, "-t", "arithmetic", "--recorded", "{f}/r.jsonl"),
        (*replay, "-t", "arithmetic", "--recorded", "{f}/r.jsonl.gz"),
        (*replay, "-t", "arithmetic", "--recorded", "{f}/r.jsonl", "-E", "map=text=text,problem_id=problem_id"),
    )
    logs = [
        Target(f"log {layout}", f"logs/{layout}", ("**/*",), (("import", "{p}", "-o", "{o}", "--no-score"),), 4)
        for layout in WRITERS
    ]
    return [
        *of_run("runs/own", "{w}/others/teacher", "{w}/others/base"),
        *of_run("runs/imported", "{w}/others/imported", "{w}/others/imported-too"),
        Target("data", "data", ("**/*",), data, 20),
        Target("own data", "rows", ("*",), tuple(_own_rows()), 12),
        Target("replay", "replay", ("*",), own, 20),
        Target("published", "published", ("*.csv",), tuple(_published()), 20),
        Target(
            "protocol",
            "protocol",
            ("p.json",),
            (("protocols", "{f}/p.json"), ("protocols", "{f}/p.json", "--json")),
            10,
        ),
        Target("checkpoint", "checkpoint", ("*.json",), (("run", "{f}", "-t", "arithmetic", "--dry-run"),), 8),
        Target("grade", "grade", ("response.txt",), (("grade", "--gold", "42", "--response", "{f}/response.txt"),), 4),
        Target("judge", "judge", ("cases.jsonl*", "verdicts.jsonl"), tuple(_judge()), 2),
        *logs,
    ]


_DATA = ("aime24", "math500", "gpqa_diamond")


def _own_rows() -> Iterator[tuple[str, ...]]:
    for name in ("rows.jsonl", "rows.csv", "rows.parquet", "rows.json"):
        fields = "text=generation,problem=question,gold=answer"
        yield ("import", "{f}/" + name, "--map", fields, "--model", "m", "-o", "{o}", "--no-score")


def _published() -> Iterator[tuple[str, ...]]:
    for form in ("md", "csv", "latex", "html", "json"):
        yield ("leaderboard", "--published", "{f}/t.csv", "-f", form)
    yield ("leaderboard", "{w}/others", "--published", "{f}/t.csv")
    yield ("distill", "{w}/others/base", "--teacher", "{f}/t.csv:Teacher")


def _judge() -> Iterator[tuple[str, ...]]:
    for name in ("cases.jsonl", "cases.jsonl.gz"):
        yield ("judge", "{f}/" + name, "-o", "{f}/verdicts.jsonl", "--workers", "1")


def make_workspace(root: Path) -> None:
    """One file of every format below `root`."""
    old = REPOSITORY / "tests" / "runs_v01" / "results"
    for name, source in (("teacher", "teacher"), ("base", "student-plain")):
        shutil.copytree(next((old / source).iterdir()), root / "others" / name)
    own = root / "runs" / "own"
    shutil.copytree(next((old / "student-distilled").iterdir()), own)
    _add_opinions(own)
    log = WRITERS["lm_eval"][1](root / "log")
    _run("import", log, "-o", root / "runs" / "imported", "--workers", 1)
    for number, name in enumerate(("imported", "imported-too")):
        shutil.copytree(root / "runs" / "imported", root / "others" / name)
        _renamed(root / "others" / name / "run.json", f"lab/other-{number}")
    _renamed(own / "run.json", "lab/checkpoint-500")
    _add_opinions(root / "runs" / "imported")
    for folder in (own, root / "runs" / "imported"):
        (folder / "fidelity.json").write_text(json.dumps(_fidelity()))
    (root / "data").mkdir()
    write_all(root / "data")
    _write_rows(root / "rows")
    _write_replay(root / "replay", own)
    _write_published(root / "published")
    (root / "protocol").mkdir()
    protocol = {
        "source": "here",
        "temperature": 0.5,
        "top_p": 0.9,
        "prompts": {"math": "{problem}"},
        "n": {"aime24": 4},
    }
    (root / "protocol" / "p.json").write_text(json.dumps(protocol))
    shutil.copytree(CHECKPOINT, root / "checkpoint")
    (root / "grade").mkdir()
    (root / "grade" / "response.txt").write_text("thinking</think>So it is \\boxed{42}.")
    _write_cases(root / "judge")
    for layout, (_, writer) in WRITERS.items():
        path = writer(root / "logs" / layout)
        (root / "logs" / f"{layout}.path").write_text(str(path.relative_to(root)))


def _renamed(path: Path, model: str) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": model}))


def _add_opinions(folder: Path) -> None:
    for scores in list(folder.glob("*/scores.jsonl")):
        first = json.loads(scores.read_text().splitlines()[0])
        key = {name: first[name] for name in ("task", "problem_id", "sample_index")}
        opinion = {**key, "grader": "math-verify", "status": "wrong", "answer": "7", "explanation": "other"}
        decision = {**key, "verdict": "wrong", "answer": "7", "who": "me", "why": "because"}
        (scores.parent / "second_opinions.jsonl").write_bytes(encode_line(opinion))
        (scores.parent / "adjudications.jsonl").write_bytes(encode_line(decision))


def _fidelity() -> dict[str, Any]:
    figure = FidelityFigure("kl_forward", "all", 0.1, "nats per token", 9, 3, 0.01, (0.05, 0.15))
    student = StudentFidelity("lab/checkpoint-500", "f", 3, 3, "", ("a note",), (figure,))
    return asdict(FidelityReport(1, "teacher", "t", "run", "d", "teacher", {"top_k": 5}, (student,)))


def _write_rows(folder: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    folder.mkdir()
    rows = [
        {"question": f"What is {i} + 1?", "answer": str(i + 1), "generation": f"\\boxed{{{i + 1}}}"} for i in range(3)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "rows.json").write_text(json.dumps(rows))
    parquet.write_table(pa.Table.from_pylist(rows), folder / "rows.parquet")
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_replay(folder: Path, run_directory: Path) -> None:
    folder.mkdir()
    lines = next(run_directory.glob("*/completions.jsonl")).read_bytes()
    (folder / "r.jsonl").write_bytes(lines)
    (folder / "r.jsonl.gz").write_bytes(gzip.compress(lines))


def _write_published(folder: Path) -> None:
    folder.mkdir()
    row = 'Teacher,Arithmetic,arithmetic,pass@1,72.6,1.5,16,deepseek-r1,temperature=0.8; top_p=0.9,"a paper, 5",n\n'
    other = "Student,Arithmetic,arithmetic,pass@1,55.0,,,,,a paper,\n"
    heads = "model,benchmark,task,metric,value,sd,n,protocol,settings,source,note\n"
    (folder / "t.csv").write_text(heads + row + other)


def _write_cases(folder: Path) -> None:
    folder.mkdir()
    case = {"id": "1", "code": "print(int(input()) + 1)", "tests": [["1\n", "2\n"]], "fn_name": None, "timeout": 2}
    content = "".join(json.dumps({**case, "id": str(i), "language": "python"}) + "\n" for i in range(2)).encode()
    (folder / "cases.jsonl").write_bytes(content)
    (folder / "cases.jsonl.gz").write_bytes(gzip.compress(content))
    _run("judge", folder / "cases.jsonl", "-o", folder / "verdicts.jsonl", "--workers", 1)


def _run(*arguments: object) -> None:
    code, out, err, finding = observed([str(a) for a in arguments])
    assert (finding, code) == (None, 0), f"{arguments}: {code}\n{out}\n{err}\n{finding}"


# --- one change of one file


def changed(path: Path, rng: random.Random) -> str:
    """Change the file in place and return what was done to it."""
    content = path.read_bytes()
    if rng.random() < 0.04:
        return _displaced(path, rng)
    if rng.random() < 0.15:
        new, told = _bytes_changed(content, rng)
    elif path.suffix == ".gz" and rng.random() < 0.8:
        new, told = _structure_changed(gzip.decompress(content), path.with_suffix("").name, rng)
        new = gzip.compress(new)
    else:
        new, told = _structure_changed(content, path.name, rng)
    path.write_bytes(new)
    return f"{path.name}: {told}"


def _displaced(path: Path, rng: random.Random) -> str:
    kind = rng.choice(("link", "link to a device", "dangling link", "loop", "pipe", "folder", "missing", "empty"))
    content = path.read_bytes()
    path.unlink()
    if kind == "link":
        outside = path.parent / "..outside"
        outside.write_bytes(content)
        path.symlink_to(outside)
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling link":
        path.symlink_to("/nowhere/at/all")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    return f"{path.name}: {kind}"


def _flipped(content: bytes, at: int, rng: random.Random) -> bytes:
    data = bytearray(content or b"\x00")
    data[at % len(data)] ^= 1 << rng.randrange(8)
    return bytes(data)


def _bytes_changed(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    at = rng.randrange(len(content) + 1)
    end = min(len(content), at + rng.choice((1, 4, 100)))
    choices: dict[str, Callable[[], bytes]] = {
        "cut": lambda: content[:at],
        "flipped": lambda: _flipped(content, at, rng),
        "zeros": lambda: content[:at] + bytes(end - at) + content[end:],
        "inserted": lambda: content[:at] + rng.randbytes(rng.choice((1, 3, 50))) + content[at:],
        "byte-order mark": lambda: b"\xef\xbb\xbf" + content,
        "UTF-16": lambda: content.decode("latin-1").encode("utf-16"),
        "latin-1": lambda: content + b"\xe9\xff\n",
        "twice": lambda: content + content,
        "deep": lambda: DEEP.encode(),
        "carriage returns": lambda: content.replace(b"\n", b"\r\n"),
        "no bytes": lambda: b"",
        "long": lambda: content + b"x" * 1_000_000,
    }
    kind = rng.choice(list(choices))
    return choices[kind](), f"{kind} at {at}"


def _structure_changed(content: bytes, name: str, rng: random.Random) -> tuple[bytes, str]:
    try:
        if name.endswith(".csv"):
            return _csv_changed(content, rng)
        if name.endswith(".parquet"):
            return _parquet_changed(content, rng)
        if name.endswith((".zip", ".eval")) or content[:2] == b"PK":
            return _zip_changed(content, rng)
        return _json_changed(content, rng)
    except (ValueError, IndexError, zipfile.BadZipFile):
        return _bytes_changed(content, rng)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value[:20]):
            yield from _places(inner, (*path, index))


def _json_changed(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    text = content.decode()
    try:
        documents, lines = [json.loads(text)], False
    except ValueError:
        documents, lines = [json.loads(line) for line in text.splitlines()], True
    at = rng.randrange(min(len(documents), 40))
    marks: dict[str, str] = {}
    had_checksum = isinstance(documents[at], dict) and documents[at].pop("crc", None) is not None
    path = rng.choice(list(_places(documents[at])))
    documents[at], told = _value_changed(documents[at], path, rng, marks)
    written = []
    for i, document in enumerate(documents):
        line = json.dumps(document, ensure_ascii=rng.random() < 0.5) if i == at or not lines else text.splitlines()[i]
        if i == at:
            for mark, raw in marks.items():
                line = line.replace(json.dumps(mark), raw)
            if had_checksum and rng.random() < 0.8 and line.startswith("{"):
                line = _with_checksum(line)
        written.append(line)
    if lines and rng.random() < 0.1:
        written.insert(at, written[at])
        told += ", line twice"
    return ("\n".join(written) + "\n").encode("utf-8", "surrogatepass"), f"line {at + 1} {told}" if lines else told


def _with_checksum(line: str) -> str:
    import zlib

    body = line.encode("utf-8", "surrogatepass")
    return line[:-1] + f',"crc":"{zlib.crc32(body):08x}"}}'


def _value_changed(document: Any, path: tuple[Any, ...], rng: random.Random, marks: dict[str, str]) -> tuple[Any, str]:
    new = rng.choice(VALUES)
    if isinstance(new, Raw):
        mark = f"@{len(marks)}@"
        marks[mark] = str(new)
        shown, new = str(new)[:20], mark
    else:
        shown = repr(new)[:30]
    if not path:
        return new, f"all is {shown}"
    parent = document
    for part in path[:-1]:
        parent = parent[part]
    last, where = path[-1], ".".join(map(str, path))
    how = rng.random()
    if how < 0.12:
        del parent[last]
        return document, f"{where} missing"
    if how < 0.2 and isinstance(parent, dict):
        key = rng.choice([v for v in VALUES if isinstance(v, str) and not isinstance(v, Raw)])
        parent[key] = parent.pop(last)
        return document, f"{where} named {key[:20]!r}"
    if how < 0.25 and isinstance(parent, list):
        parent.append(parent[last])
        return document, f"{where} twice"
    parent[last] = new
    return document, f"{where} = {shown}"


def _plain_value(rng: random.Random) -> Any:
    value = rng.choice(VALUES)
    return value if not isinstance(value, list | dict) else json.dumps(value)


def _csv_changed(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    at = rng.randrange(min(len(rows), 20))
    cell = rng.randrange(len(rows[at]))
    how = rng.random()
    if how < 0.15:
        del rows[at][cell]
        told = "cell missing"
    elif how < 0.25:
        rows[at].append("more")
        told = "a cell more"
    else:
        rows[at][cell] = str(_plain_value(rng))
        told = f"= {rows[at][cell][:20]!r}"
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue().encode("utf-8", "replace"), f"row {at + 1} cell {cell + 1} {told}"


def _parquet_changed(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    import pyarrow as pa
    from pyarrow import parquet

    rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    column = rng.choice(list(rows[0]))
    value = _plain_value(rng)
    if rng.random() < 0.15:
        rows = [{k: v for k, v in row.items() if k != column} for row in rows]
        told = f"no {column}"
    else:
        rows = [{**row, column: value} for row in rows]
        told = f"{column} = {str(value)[:20]!r}"
    out = io.BytesIO()
    try:
        parquet.write_table(pa.Table.from_pylist(rows), out)
    except (pa.ArrowException, UnicodeEncodeError, OverflowError, TypeError):
        return _bytes_changed(content, rng)
    return out.getvalue(), told


def _zip_changed(content: bytes, rng: random.Random) -> tuple[bytes, str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist() if info.compress_type in (0, 8)}
    name = rng.choice(list(members))
    members[name], told = _structure_changed(members[name], name, rng)
    if rng.random() < 0.1:
        members[rng.choice(("../../evil", "/etc/x", "a\x1bb"))] = members.pop(name)
        told += ", renamed"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return out.getvalue(), f"{name} {told}"


# --- one command, watched


class HangError(BaseException):
    """A command that took too long; no handler of ordinary errors catches it."""


class _Stream(io.TextIOWrapper):
    """A stream that can be emptied: the log's handler keeps the first one it sees."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)

    def taken(self) -> str:
        self.flush()
        content = self.bytes.getvalue().decode("utf-8", "replace")
        self.bytes.seek(0)
        self.bytes.truncate()
        return content


OUT, ERR = _Stream(), _Stream()


@contextmanager
def _watched() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, HANG)
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = OUT, ERR
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        sys.stdout, sys.stderr = streams


def observed(arguments: Sequence[str]) -> tuple[int | None, str, str, str | None]:
    """(exit code, stdout, stderr, what was wrong or None) of one command in this process."""
    from evalkit.cli.terminal import guard_output

    code, finding = None, None
    _forget_peak()
    before = _peak()
    with _watched():
        guard_output()
        try:
            code = run(list(arguments))
        except HangError:
            finding = f"hangs\n{traceback.format_exc()}"
        except BaseException:
            finding = traceback.format_exc()
    out, err = OUT.taken(), ERR.taken()
    return code, out, err, finding or _broken_promise(code, out, err, _peak() - before)


def _broken_promise(code: int | None, out: str, err: str, grown: int) -> str | None:
    if "Traceback" in err:
        return err
    if code not in (0, 1, 2):
        return f"exit code {code}"
    if code and (err.count("error: ") < 1 or err.count("hint: ") < 1):
        return f"exit code {code} without a sentence and a hint: {err}"
    if "There is not enough memory" in err:
        return err
    if visible(out) != out or visible(err) != err:
        return "a character that shows nothing was printed"
    if grown > MEMORY:
        return f"{grown >> 20} MiB of memory"
    return None


def _forget_peak() -> None:
    """Let the kernel measure the process's largest size anew."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def _peak() -> int:
    """The largest size in bytes that this process had in memory since `_forget_peak`."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


class Fuzzer:
    """Mutants of a workspace by a seed. `findings` are the promises that were broken."""

    def __init__(self, root: Path, seed: int, only: str = "") -> None:
        self.root, self.rng = root, random.Random(seed)
        self.pristine = root / "pristine"
        self.pristine.mkdir(parents=True)
        make_workspace(self.pristine)
        self.targets = [t for t in targets() if only in t.name]
        self.commands, self.last = 0, ""
        self.findings: list[Finding] = []

    def mutant(self) -> list[Finding]:
        """Make one mutant, run one or two commands on it, and return what they broke."""
        target = self.rng.choices(self.targets, [t.weight for t in self.targets])[0]
        self.last = target.name
        folder = self._copied(target)
        work = folder.parent
        files = sorted({p for pattern in target.files for p in folder.glob(pattern) if p.is_file()})
        done = changed(self.rng.choice(files), self.rng)
        found = []
        for command in self.rng.sample(target.commands, min(len(target.commands), 2)):
            arguments = self._filled(command, target, folder, work)
            self.commands += 1
            code, _, _, broken = observed(arguments)
            if command[0] == "import" and code == 0 and broken is None:  # what was written can be read
                code, _, err, broken = observed(["verify", str(work / "out")])
                broken = broken or (f"its run cannot be read: {err}" if code == 2 else None)
            if broken is not None:
                found.append(Finding(f"{target.name}, {done}", " ".join(arguments), broken))
        self.findings += found
        return found

    def refused(self, target: Target) -> list[Sequence[str]]:
        """The commands that refuse the target's files as they are."""
        found: list[Sequence[str]] = []
        for command in target.commands:
            folder = self._copied(target)
            if observed(self._filled(command, target, folder, folder.parent))[0] != 0:
                found.append(command)
        return found

    def _copied(self, target: Target) -> Path:
        work = self.root / "work"
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(self.pristine / target.folder, work / "it")
        return work / "it"

    def _filled(self, command: Sequence[str], target: Target, folder: Path, work: Path) -> list[str]:
        values = {"{w}": str(self.pristine), "{f}": str(folder), "{run}": str(folder), "{o}": str(work / "out")}
        if any("{p}" in part for part in command):
            path = (self.pristine / f"{target.folder}.path").read_text()
            values["{p}"] = str(folder / Path(path).relative_to(target.folder))
        shutil.rmtree(work / "out", ignore_errors=True)
        filled = []
        for part in command:
            for name, value in values.items():
                part = part.replace(name, value)
            filled.append(part)
        return filled


def process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        env={**os.environ, **environment},
        timeout=300,
    )
