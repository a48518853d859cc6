"""kill -9 of the scorer while programs run: nothing lost, nothing doubled, no process and no folder left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers import EVALKIT, REPOSITORY, evalkit, records, write_recorded
from test_livecodebench import make_data, make_row

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
SAMPLES = 16
# each takes long enough that a kill meets some of them running
PROGRAMS = (
    "import time; time.sleep(0.05); print(int(input()) + 1)",
    "import time; time.sleep(0.05); print(2)",
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(0.3)\nprint(int(input()) + 1)",
    "import threading, time\nthreading.Thread(target=time.sleep, args=(0.3,)).start()\n1 / 0",
)
STATUSES = ("correct", "wrong", "correct", "wrong")


def processes_below(root: int) -> set[tuple[int, str]]:
    """Descendants of `root` and itself: (pid, the tick it started at)."""
    parents, started = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)], started[int(entry.name)] = int(fields[1]), fields[19]
    tree = {root}
    while more := {pid for pid, parent in parents.items() if parent in tree} - tree:
        tree |= more
    return {(pid, started[pid]) for pid in tree if pid in started}


def alive(seen: set[tuple[int, str]]) -> set[tuple[int, str]]:
    found = set()
    for pid, start in seen:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[19] == start:
            found.add((pid, start))
    return found


def kill_in_mid_run(arguments: Sequence[object], path: Path, lines: int, folder: Path) -> None:
    """Start the command, kill it alone when `path` has so many lines, and wait for the end of all that it started."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        [EVALKIT, *map(str, arguments)], env=environment, cwd=REPOSITORY, stdout=null, stderr=null
    )
    seen: set[tuple[int, str]] = set()
    while process.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < lines):
        seen |= processes_below(process.pid)
        time.sleep(0.01)
    assert process.poll() is None, "it ended before it could be killed"
    seen |= processes_below(process.pid)
    assert len(alive(seen)) > 3, "no jail was running"
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 100
    while alive(seen) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert alive(seen) == set()


def statuses(path: Path) -> list[tuple[int, str]]:
    return sorted((r["sample_index"], r["status"]) for r in records(path))


@pytest.mark.slow
def test_a_killed_scorer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "tmp").mkdir()
    make_data(tmp_path / "data", make_row())
    texts = [f"```python\n# {i}\n{PROGRAMS[i % len(PROGRAMS)]}\n```" for i in range(SAMPLES)]
    recorded = write_recorded(tmp_path / "recorded.jsonl", {"q1": texts})
    run, scores = tmp_path / "run", tmp_path / "run" / "livecodebench" / "scores.jsonl"
    command = (
        *("run", "a-model", "-t", "livecodebench", "-n", SAMPLES, "--response-prefix", "", "--backend", "replay"),
        *("--recorded", recorded, "--data", tmp_path / "data", "-o", run, "--quiet", "--allow-changed-data"),
    )
    kill_in_mid_run(command, scores, 4, tmp_path / "tmp")
    assert 4 <= len(records(scores)) < SAMPLES
    wanted = [(i, STATUSES[i % len(STATUSES)]) for i in range(SAMPLES)]
    evalkit(*command, TMPDIR=str(tmp_path / "tmp"))
    assert statuses(scores) == wanted

    before = scores.read_bytes()
    again = scores.with_name("scores.new.jsonl")
    kill_in_mid_run(("score", run), again, 4, tmp_path / "tmp")
    kept = [r["sample_index"] for r in records(again)]
    assert 4 <= len(kept) < SAMPLES
    assert scores.read_bytes() == before, "the old scores stay until the new ones are whole"
    evalkit("score", run, TMPDIR=str(tmp_path / "tmp"))
    assert statuses(scores) == wanted
    assert [r["sample_index"] for r in records(scores)][: len(kept)] == kept, "what was graded is not graded again"
    assert not again.exists()
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == [f"evalkit-{os.getuid()}"]  # the judges' locks
