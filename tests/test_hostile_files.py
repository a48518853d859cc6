"""Results folders, data and logs of a stranger: read without harm, or refused in one sentence."""

import json
import os
import pickle
import resource
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_fuzz import CHECKPOINT, EXPORTS, READING, make_workspace, observed, process
from helpers import EVALKIT, evalkit, told
from hostile_files import DISPLACED, FIELDS, LINES, RUN_JSON, SECRET, with_field

from evalkit import EvalkitError
from evalkit.files import HOST, is_running, open_descriptor, read_file, replace_file, size_of, text_lines, write_output
from evalkit.store.run import RunDirectory

NOBODY = 65534


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    make_workspace(root)
    return root


@pytest.fixture
def run(workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(workspace / "runs" / "own", tmp_path / "results" / "run"))


@pytest.fixture
def imported(workspace: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(workspace / "runs" / "imported", tmp_path / "results" / "run"))


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "victim"
    path.parent.mkdir()
    path.write_text(f"{SECRET}\n")
    return path


def commands(run: Path, workspace: Path, out: Path, *names: str) -> Iterator[list[str]]:
    """One of each of these commands, of all that read a run where none is named."""
    kinds = {command[0]: command for command in (*reversed(READING), EXPORTS[3])}
    kinds |= {"score": ("score", "{run}", "--workers", "1")}
    other = str(workspace / "others" / "teacher")
    for name in names or [name for name in kinds if name != "score"]:
        filled = [p.replace("{run}", str(run)).replace("{f}", str(run)) for p in kinds[name]]
        filled = [
            part.replace("{other}", other).replace("{base}", str(workspace / "others" / "base")) for part in filled
        ]
        yield [part.replace("{w}/others/teacher", other).replace("{o}", str(out)) for part in filled]


def held(arguments: list[str], victim: Path) -> tuple[int | None, str]:
    """Run a command: no promise is broken, nothing of outside is shown or changed. Its exit code and what it said."""
    before = sorted(p.name for p in victim.parent.iterdir())
    code, out, err, broken = observed(arguments)
    assert broken is None, broken
    assert SECRET not in out + err
    assert victim.read_text() == f"{SECRET}\n"
    assert sorted(p.name for p in victim.parent.iterdir()) == before
    return code, out + err


PLACES: tuple[str, ...] = (
    "run.json",
    "arithmetic/report.json",
    "arithmetic/completions.jsonl",
    "arithmetic/scores.jsonl",
)
PLACES += ("arithmetic/second_opinions.jsonl", "arithmetic/adjudications.jsonl", "throughput.jsonl", "fidelity.json")
PLACES += ("arithmetic/scores.new.jsonl",)
WRITING = dict.fromkeys((f"arithmetic/{n}.jsonl" for n in ("completions", "scores", "scores.new")), ("score",))


@pytest.mark.parametrize("kind", DISPLACED)
@pytest.mark.parametrize("place", PLACES)
def test_what_is_no_file_below_a_run_is_not_followed(
    kind: str, place: str, run: Path, victim: Path, workspace: Path, tmp_path: Path
) -> None:
    path = run / place
    path.unlink(missing_ok=True)
    DISPLACED[kind](path, victim)
    names = ("leaderboard", "verify", "samples", "compare", *WRITING.get(place, ()))
    codes = {command[0]: held(command, victim)[0] for command in commands(run, workspace, tmp_path / "out", *names)}
    if place == "run.json" and kind != "a link to a file that is not there":
        assert set(codes.values()) == {2}
    if place in ("arithmetic/completions.jsonl", "arithmetic/scores.jsonl"):
        assert codes["leaderboard"] == codes["score"] == 2
    if place == "arithmetic/report.json":
        assert codes["leaderboard"] == 0
    if place == "arithmetic/scores.new.jsonl":
        assert codes["score"] == 2
        assert codes["leaderboard"] == 0


def test_a_tasks_folder_that_is_a_link(run: Path, victim: Path, workspace: Path, tmp_path: Path) -> None:
    shutil.move(run / "arithmetic", victim.parent / "arithmetic")
    (run / "arithmetic").symlink_to(victim.parent / "arithmetic")
    before = {p.name: p.read_bytes() for p in (victim.parent / "arithmetic").iterdir()}
    for command in commands(run, workspace, tmp_path / "out"):
        code, said = held(command, victim)
        assert code == 2, said
    assert {p.name: p.read_bytes() for p in (victim.parent / "arithmetic").iterdir()} == before


def test_the_problems_of_an_imported_run_are_not_read_through_a_link(imported: Path, victim: Path) -> None:
    path = next(imported.glob("*/problems.jsonl"))
    shutil.move(path, victim.parent / "problems.jsonl")
    path.symlink_to(victim.parent / "problems.jsonl")
    code, said = held(["score", str(imported), "--workers", "1"], victim)
    assert code == 2
    assert "link" in said


def test_a_run_that_is_itself_reached_by_a_link_is_read(run: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(run)
    assert observed(["leaderboard", str(tmp_path / "latest")])[0] == 0
    assert observed(["score", str(tmp_path / "latest"), "--workers", "1"])[0] == 0


@pytest.mark.parametrize("change", RUN_JSON)
def test_a_run_json_of_another_shape(change: str, run: Path, victim: Path, workspace: Path, tmp_path: Path) -> None:
    path = run / "run.json"
    path.write_text(json.dumps(RUN_JSON[change](json.loads(path.read_text()))))
    for command in commands(run, workspace, tmp_path / "out", "leaderboard", "verify", "samples", "score"):
        held(command, victim)


def test_a_problem_that_is_there_twice_is_told(run: Path, victim: Path, workspace: Path, tmp_path: Path) -> None:
    path = run / "run.json"
    described = json.loads(path.read_text())
    ids = described["tasks"]["arithmetic"]["problem_ids"]
    ids.append(ids[3])
    path.write_text(json.dumps(described))
    for command in commands(run, workspace, tmp_path / "out"):
        code, said = held(command, victim)
        assert (code, "a problem is there twice" in said) == (2, True), said


@pytest.mark.parametrize("content", LINES)
@pytest.mark.parametrize("name", ["completions", "scores", "second_opinions", "adjudications"])
def test_a_line_that_is_no_record(name: str, content: str, run: Path, victim: Path) -> None:
    path = run / "arithmetic" / f"{name}.jsonl"
    path.write_bytes(LINES[content] + b"\n" + path.read_bytes())
    code, said = held(["leaderboard", str(run)], victim)
    assert code == 2
    assert f"Line 1 of {path} is damaged" in said


@pytest.mark.parametrize("change", FIELDS)
def test_a_completion_with_another_value(change: str, run: Path, victim: Path) -> None:
    path = run / "arithmetic" / "completions.jsonl"
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(with_field(first, *FIELDS[change]) + b"".join(others))
    for arguments in (["verify", str(run)], ["samples", str(run)], ["score", str(run), "--workers", "1"]):
        code, said = held(arguments, victim)
        assert code == 2, said
        assert f"Line 1 of {path} is damaged" in said


FILES = {
    "published/t.csv": ["leaderboard", "--published", "{f}/published/t.csv"],
    "protocol/p.json": ["protocols", "{f}/protocol/p.json"],
    "replay/r.jsonl": [
        *("run", "m", "-t", "arithmetic", "--engine", "replay", "--dry-run", "--recorded"),
        "{f}/replay/r.jsonl",
    ],
    "grade/response.txt": ["grade", "--gold", "1", "--response", "{f}/grade/response.txt"],
    "judge/cases.jsonl": ["judge", "{f}/judge/cases.jsonl", "-o", "{f}/verdicts.jsonl", "--workers", "1"],
    "rows/rows.jsonl": ["import", "{f}/rows/rows.jsonl", "--map", "text=generation", "-o", "{f}/out"],
    "rows/rows.parquet": ["import", "{f}/rows/rows.parquet", "--map", "text=generation", "-o", "{f}/out"],
    "checkpoint/config.json": ["run", "{f}/checkpoint", "-t", "arithmetic", "--dry-run"],
    "checkpoint/tokenizer.json": ["run", "{f}/checkpoint", "-t", "arithmetic", "--dry-run"],
    "data/aime_2024/train.jsonl": [
        *("run", "m", "-t", "aime24", "--engine", "replay", "--dry-run", "--recorded"),
        *("{f}/replay/r.jsonl", "--data", "{f}/data"),
    ],
    "data/gpqa/dataset.zip": [
        *("run", "m", "-t", "gpqa_diamond", "--engine", "replay", "--dry-run", "--recorded"),
        *("{f}/replay/r.jsonl", "--data", "{f}/data"),
    ],
}


@pytest.mark.parametrize("kind", ["a pipe", "a socket", "a folder", "a link to a device", "a link to itself"])
@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_refused_without_waiting(name: str, kind: str, workspace: Path, tmp_path: Path) -> None:
    folder = tmp_path / "w"
    folder.mkdir()
    for part in {name.split("/")[0], "replay"}:
        shutil.copytree(workspace / part, folder / part)
    (folder / name).unlink()
    DISPLACED[kind](folder / name, tmp_path)
    code, _, err, broken = observed([part.replace("{f}", str(folder)) for part in FILES[name]])
    assert broken is None, broken
    made_anew = name == "checkpoint/tokenizer.json" and kind == "a folder"  # transformers takes the other files
    assert code == 2 or made_anew, err


@pytest.mark.slow
def test_a_pickle_in_the_place_of_weights_is_not_run(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "harm"),))

    folder = Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))
    (folder / "model.safetensors").unlink()
    for content in (pickle.dumps(Harm()), b"\x80\x04."):
        (folder / "pytorch_model.bin").write_bytes(content)
        arguments = [
            "run",
            folder,
            "-t",
            "arithmetic",
            "--limit",
            1,
            "-n",
            1,
            "-o",
            tmp_path / f"run-{len(content)}",
            "--quiet",
        ]
        assert "could not be loaded" in told(evalkit(*arguments, code=2))
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("num_hidden_layers", 10**9),
            ("num_hidden_layers", -1),
            ("num_hidden_layers", "two"),
            ("hidden_size", 10**12),
        ),
        *(
            ("vocab_size", 10**12),
            ("max_position_embeddings", 10**30),
            ("model_type", 7),
            ("model_type", "no_such_type"),
        ),
        *(
            ("architectures", 5),
            ("torch_dtype", "float3"),
            ("rope_scaling", "x"),
            ("auto_map", {"AutoConfig": "../x.Y"}),
        ),
    ],
)
def test_a_config_that_no_model_has(name: str, value: object, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(CHECKPOINT, tmp_path / "checkpoint"))
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    code, _, err, broken = observed(
        ["run", str(folder), "-t", "arithmetic", "--limit", "1", "--dry-run", "--max-tokens", "8"]
    )
    assert broken is None, broken
    assert code in (0, 2), err


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ascii", "cp437", "utf-8"])
def test_an_output_that_cannot_encode_everything(encoding: str, run: Path) -> None:
    for arguments in (["leaderboard", run], ["samples", run, "--most", 1], ["tasks"]):
        done = subprocess.run(
            [EVALKIT, *map(str, arguments)], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
        )
        assert done.returncode == 0, done.stderr
        assert b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", [["leaderboard", "{run}"], ["samples", "{run}", "--json"], ["tasks"], ["--help"]])
def test_an_output_that_is_full(command: list[str], run: Path) -> None:
    with open("/dev/full", "w") as full:
        arguments = [str(EVALKIT), *(part.replace("{run}", str(run)) for part in command)]
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert "No space left on device" in told(done)


def test_an_output_that_nobody_reads(run: Path) -> None:
    done = subprocess.run(["bash", "-c", f"'{EVALKIT}' samples '{run}' --json | true"], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.slow
def test_too_little_memory_is_one_sentence(run: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (600 << 20, 600 << 20))

    completions = run / "arithmetic" / "completions.jsonl"
    content = completions.read_bytes()
    first = content.splitlines(keepends=True)[0]
    completions.write_bytes(with_field(first, "text", "x" * (200 << 20)) + content[len(first) :])
    done = subprocess.run(
        [EVALKIT, "samples", str(run), "--full"], capture_output=True, text=True, preexec_fn=limit, timeout=300
    )
    assert done.returncode == 2
    assert "memory" in told(done)


@pytest.mark.slow
def test_names_that_are_too_long_or_no_text(run: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"r\xff\x1b[31m")
    shutil.copytree(run, odd)
    done = subprocess.run([os.fsencode(EVALKIT), b"leaderboard", os.fsencode(odd)], capture_output=True)
    assert done.returncode == 0, done.stderr
    for form in ("json", "csv", "html", "latex"):
        code, _, err, broken = observed(["leaderboard", str(odd), "-f", form, "-o", str(tmp_path / f"t.{form}")])
        assert (broken, code) == (None, 0), err
    for arguments in (["leaderboard", "x" * 5000], ["score", str(tmp_path / ("y" * 300))]):
        code, _, err, broken = observed(arguments)
        assert (broken, code) == (None, 2), err


# --- looking at what cannot be written


LOOKING = (
    ["leaderboard", "{run}"],
    ["leaderboard", "{run}", "-f", "json"],
    ["verify", "{run}"],
    ["samples", "{run}", "--most", "1"],
    ["compare", "{run}", "{other}", "--across-protocols"],
    ["distill", "{run}", "--teacher", "{other}"],
    ["plot", "lengths", "{run}", "-o", "{home}/p.png"],
    ["export", "{run}", "--to", "parquet", "-o", "{home}/parquet"],
    ["adjudicate", "{run}", "--export", "{home}/decisions.jsonl"],
)


_LOOK = """
import asyncio, json, os, sys
from evalkit.cli.main import run
from evalkit.cli.terminal import guard_output
guard_output()
warm, real = json.loads(os.environ["COMMANDS"])
for command in warm:  # what they import lies where the other user may not read
    run(command)
if os.geteuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
print("as", os.geteuid(), file=sys.stderr)
print(json.dumps([run(command) for command in real]), file=sys.stderr)
"""


def _look(run: Path, other: Path, place: Path) -> None:
    """Every command that reads, as an unprivileged user; nothing is written to the runs."""

    def filled(run: Path, other: Path, out: Path) -> list[list[str]]:
        values = {"{run}": str(run), "{other}": str(other)}
        return [[values.get(part, part.replace("{home}", str(out))) for part in command] for command in LOOKING]

    before = sorted(place.rglob("*"))
    warm, home = place.parent / "warm", place.parent / "home"
    for name in ("own", "other"):
        shutil.copytree(run if name == "own" else other, warm / name)
        subprocess.run(["chmod", "-R", "u+w", str(warm / name)], check=True)
    (warm / "home").mkdir()
    score = ["score", str(run), "--workers", "1"]
    commands = [filled(warm / "own", warm / "other", warm / "home"), [*filled(run, other, home), score]]
    environment = {"COMMANDS": json.dumps(commands), "HOME": str(home), "MPLCONFIGDIR": str(home)}
    done = process(_LOOK, **environment, XDG_STATE_HOME=str(home))
    lines = done.stderr.splitlines()
    assert "as 0" not in lines
    assert json.loads(lines[-1]) == [0] * len(LOOKING) + [2], done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(place.rglob("*")) == before


@pytest.fixture
def open_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that every user can reach; pytest's own are this user's alone."""
    folder = Path("/var/tmp") / f"evalkit-test-{os.getpid()}"
    folder.mkdir(mode=0o755)
    (folder / "home").mkdir()
    if os.geteuid() == 0:
        os.chown(folder / "home", NOBODY, NOBODY)
    yield folder
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=False)
    shutil.rmtree(folder)


def _without_reports(workspace: Path, place: Path) -> tuple[Path, Path]:
    runs = []
    for name in ("runs/own", "others/teacher"):
        copy = Path(shutil.copytree(workspace / name, place / name.replace("/", "-")))
        for report in copy.glob("*/report.json"):
            report.unlink()
        runs.append(copy)
    return runs[0], runs[1]


@pytest.mark.slow
def test_a_folder_that_may_only_be_read_can_be_looked_at(workspace: Path, open_place: Path) -> None:
    run, other = _without_reports(workspace, open_place / "runs")
    for path in (open_place / "runs").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    _look(run, other, open_place / "runs")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_file_system_that_may_only_be_read_can_be_looked_at(workspace: Path, open_place: Path) -> None:
    (open_place / "fixed").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", open_place / "fixed"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a tmpfs")
    try:
        run, other = _without_reports(workspace, open_place / "fixed")
        subprocess.run(["mount", "-o", "remount,ro", open_place / "fixed"], check=True)
        _look(run, other, open_place / "fixed")
        code, _, err, broken = observed(["leaderboard", str(run)])
        assert (broken, code) == (None, 0), err
    finally:
        subprocess.run(["umount", open_place / "fixed"], check=True)


def test_a_folder_that_may_not_be_read_is_told(run: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything; the test of an unprivileged user covers it")
    (run / "arithmetic").chmod(0)
    code, _, err, broken = observed(["leaderboard", str(run)])
    (run / "arithmetic").chmod(0o755)
    assert (broken, code) == (None, 2)
    assert "Permission denied" in err


# --- nothing is lost


def test_scores_stay_where_the_data_has_none_of_the_problems(imported: Path) -> None:
    description = json.loads((imported / "run.json").read_text())
    task = next(iter(description["tasks"].values()))
    task["problem_ids"] = ["other-1", "other-2"]
    (imported / "run.json").write_text(json.dumps(description))
    scores = next(imported.glob("*/scores.jsonl"))
    before = scores.read_bytes()
    code, _, err, broken = observed(["score", str(imported), "--workers", "1"])
    assert (broken, code) == (None, 2)
    assert "its scores are kept" in err
    assert scores.read_bytes() == before


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("finish_reason", "eos"), ("finish_reason", 3), ("completion_tokens", -1), ("completion_tokens", 10**400)),
        *(
            ("completion_tokens", 1.5),
            ("completion_tokens", "9"),
            ("prompt_tokens", True),
            ("prefix", 7),
            ("error", []),
        ),
        *(("sample_index", -1), ("sample_index", "0"), ("text", 7), ("text", [7]), ("sample_index", 10**30)),
    ],
)
def test_replay_refuses_what_could_not_be_read_again(
    field: str, value: object, workspace: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (workspace / "replay" / "r.jsonl").read_text().splitlines()]
    rows[0][field] = value
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["run", "m", "-t", "arithmetic", "--engine", "replay", "--recorded", str(tmp_path / "r.jsonl")]
    code, _, err, broken = observed([*arguments, "-o", str(tmp_path / "run")])
    assert (broken, code) == (None, 2)
    assert "Line 1 of" in err
    assert not (tmp_path / "run").exists()


def test_what_ended_processes_have_left_is_cleaned(run: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = run / "arithmetic" / f".report.json.{gone.stdout.strip()}-{HOST}.tmp"
    of_another = run / "arithmetic" / f".report.json.{os.getppid()}-{HOST}.tmp"
    for path in (left, of_another):
        path.write_text("half a repo")
    (run / "arithmetic" / "report.json").unlink()
    assert observed(["leaderboard", str(run)])[0] == 0
    assert not left.exists()
    assert of_another.exists()
    assert is_running(os.getpid())


@pytest.mark.parametrize("name", ["../../victim", "/tmp/x", "a/b", "..", "a\x00b"])
def test_a_protocol_whose_name_leads_elsewhere(name: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text(json.dumps({"name": name, "temperature": 0.5}))
    arguments = ["run", str(CHECKPOINT), "-t", "arithmetic", "--protocol", str(tmp_path / "p.json"), "--dry-run"]
    code, _, err, broken = observed(arguments)
    assert (broken, code) == (None, 2)
    assert "cannot be a protocol's name" in err


# --- the helper itself


def test_nothing_outside_is_reached_below_a_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "a").mkdir(parents=True)
    outside.mkdir()
    (outside / "f").write_text("x")
    (inside / "link").symlink_to(outside)
    (inside / "a" / "f").symlink_to(outside / "f")
    for path in (inside / "link" / "f", inside / "a" / "f", inside / ".." / "outside" / "f"):
        with pytest.raises(OSError, match=r"link|leads out"):
            read_file(path, below=inside)
        with pytest.raises(OSError, match=r"link|leads out"):
            size_of(path, below=inside)
        with pytest.raises(OSError, match=r"link|leads out"):
            open_descriptor(path, os.O_WRONLY | os.O_CREAT, below=inside)
    with pytest.raises(OSError, match="folder"):
        replace_file(inside / "link" / "g", b"y", below=inside)
    replace_file(inside / "a" / "f", b"y", below=inside)  # takes the link's place
    assert (outside / "f").read_text() == "x"
    assert (inside / "a" / "f").read_text() == "y"
    assert sorted(os.listdir(outside)) == ["f"]
    assert stat.S_IMODE((inside / "a" / "f").stat().st_mode) & 0o111 == 0


@pytest.mark.slow
def test_packed_text_has_bounds(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "bomb.gz").write_bytes(gzip.compress((b" " * 99_999 + b"\n") * 3000))
    with pytest.raises(ValueError, match="unpacks to more"):
        list(text_lines(tmp_path / "bomb.gz"))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x\n" * 1000)[:-4])
    with pytest.raises(ValueError, match="cut or damaged"):
        list(text_lines(tmp_path / "cut.gz"))


def test_a_record_of_another_task_name_is_refused_before_anything_is_opened(run: Path) -> None:
    content = json.loads((run / "run.json").read_text())
    content["tasks"] = {"../x": content["tasks"]["arithmetic"]}
    (run / "run.json").write_text(json.dumps(content))
    with pytest.raises(EvalkitError, match="not a task name"):
        RunDirectory(run).record()


def test_there_are_enough_of_them() -> None:
    files = len(DISPLACED) * len(PLACES) + len(RUN_JSON) + 4 * len(LINES) + len(FIELDS) + 5 * len(FILES)
    assert files >= 250


def test_an_export_into_a_run_follows_no_link(run: Path, victim: Path) -> None:
    (victim.parent / "empty").mkdir()
    (run / "export-parquet").symlink_to(victim.parent / "empty")
    code, said = held(["export", str(run), "--to", "parquet"], victim)
    assert code == 2
    assert "link" in said
    assert not list((victim.parent / "empty").iterdir())


def test_an_import_that_was_killed_leaves_nothing_behind(workspace: Path, tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    left = tmp_path / f".run.{gone.stdout.strip()}.import"
    (left / "task").mkdir(parents=True)
    code, _, err, broken = observed(["import", str(workspace / "log" / "m"), "-o", str(tmp_path / "run"), "--no-score"])
    assert (broken, code) == (None, 0), err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]


@pytest.mark.slow
@pytest.mark.parametrize("pauses", [(1.5,), (4.0,), (1.5, 0.05), (4.0, 0.1, 0.1)])
def test_ctrl_c_is_one_sentence_however_often(pauses: tuple[float, ...], run: Path) -> None:
    process = subprocess.Popen(
        [EVALKIT, "score", str(run), "--workers", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for pause in pauses:
        time.sleep(pause)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert process.returncode in (0, 1, 130), (out, err)  # 0: it was faster
    assert process.returncode == 0 or err.count("error: ") == 1


def test_what_a_user_names_is_written_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    write_output(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"
    (tmp_path / "gone").symlink_to("made")
    write_output(tmp_path / "gone", b"made")
    assert ((tmp_path / "gone").is_symlink(), (tmp_path / "made").read_bytes()) == (True, b"made")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_output(tmp_path / "pipe", b"piped")
    assert os.read(reader, 100) == b"piped"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    write_output(Path(os.devnull), b"nothing")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)
