"""What the machine or the caller lacks is said at the start, in one sentence, and never held against a program."""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from evalkit.errors import EvalkitError
from evalkit.sandbox import Limits, Program, Sandbox, compiling, judge, locks
from evalkit.sandbox.languages import compiler_version

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")
needs_compiler = pytest.mark.skipif(compiler_version("g++") is None, reason="no g++ on this machine")
MB = 1 << 20


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def right(**changes: object) -> dict[str, object]:
    return {"id": "a", "code": "print(int(input()) + 1)", "tests": [["1", "2"]], "timeout": 20} | changes


def run(folder: Path, *options: str, row: dict[str, object] | None, **limits: int) -> subprocess.CompletedProcess[str]:
    def lower() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    cases = write(folder / "cases.jsonl", row or right())
    return subprocess.run(
        [sys.executable, "-m", "evalkit", "judge", str(cases), "-o", str(folder / "out.jsonl"), *options],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lower,
    )


@pytest.mark.parametrize(
    ("limit", "value", "said"),
    [
        ("RLIMIT_NOFILE", 64, "ulimit -n"),
        ("RLIMIT_CPU", 60, "ulimit -t"),
        ("RLIMIT_FSIZE", MB, "ulimit -f"),
        ("RLIMIT_AS", 2000 * MB, "ulimit -v"),
        ("RLIMIT_DATA", 2000 * MB, "ulimit -d"),
        ("RLIMIT_STACK", 4 * MB, "ulimit -s"),
    ],
)
def test_a_limit_of_the_shell_is_named(tmp_path: Path, limit: str, value: int, said: str) -> None:
    done = run(tmp_path, row=None, **{limit: value})
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    "options", [["--memory-mb", str(1 << 63)], ["--memory-mb", "9" * 40], ["--output-mb", "99999"]]
)
def test_limits_that_no_machine_has_are_refused(tmp_path: Path, options: list[str]) -> None:
    done = run(tmp_path, *options, row=None)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "row",
    [
        right(fn_name="f", tests=[["[" * 3000 + "]" * 3000, "1"]]),
        right(fn_name="f", tests=[["1", '{"a":' * 300 + "1" + "}" * 300]]),
        right(timeout=1e-9),
        right(timeout=1e300),
        right(id=True),
    ],
)
def test_a_case_that_cannot_be_judged_is_named_before_any_is_judged(tmp_path: Path, row: dict[str, object]) -> None:
    cases = write(tmp_path / "cases.jsonl", right(), row)
    done = subprocess.run(
        [sys.executable, "-m", "evalkit", "judge", str(cases), "-o", str(tmp_path / "out.jsonl")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "Line 2" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize("name", ["cpu_seconds", "wall_seconds", "memory_mb", "output_mb", "open_files", "processes"])
@pytest.mark.parametrize("value", [0, -1, 10**30, float("nan"), float("inf")])
def test_limits_have_bounds(name: str, value: float) -> None:
    with pytest.raises(EvalkitError, match=name):
        Limits(**{name: value})  # type: ignore[arg-type]


@needs_compiler
@pytest.mark.skipif(os.geteuid() != 0, reason="takes root to change a sysctl in a namespace")
@pytest.mark.parametrize(("setting", "status"), [(1, 0), (2, 2)])
def test_memory_that_may_not_be_executed(tmp_path: Path, setting: int, status: int) -> None:
    cpp = right(code="#include <iostream>\nint main() { int n; std::cin >> n; std::cout << n + 1; }", language="c++17")
    cases, python = write(tmp_path / "cases.jsonl", cpp), write(tmp_path / "python.jsonl", right())
    judge_ = f"{sys.executable} -m evalkit judge"
    script = (
        f"echo {setting} > /proc/sys/vm/memfd_noexec || exit 77; "
        f"{judge_} {python} -o {tmp_path}/python.out || exit 78; {judge_} {cases} -o {tmp_path}/out.jsonl"
    )
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", script], capture_output=True, text=True, timeout=120
    )
    if done.returncode in (1, 77) and "memfd_noexec" in done.stderr and "vm." not in done.stderr:
        pytest.skip("this kernel has no vm.memfd_noexec for a namespace")
    assert done.returncode == status, done.stderr
    assert ("vm.memfd_noexec" in done.stderr) is (setting == 2)


def test_who_wants_to_be_alone_gives_up_and_lets_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(locks, "MOST_WAIT_SECONDS", 0.3)
    with locks.beside_others(), locks.by_itself(5) as alone:
        assert not alone
    with locks.by_itself(5) as alone:
        assert not alone  # the others were kept waiting just now
    time.sleep(0.5)
    entered = threading.Event()

    def newcomer() -> None:
        with locks.beside_others():
            entered.set()

    with locks.by_itself(0.5) as alone:
        assert alone
        thread = threading.Thread(target=newcomer)
        thread.start()
        assert not entered.wait(0.1)
        assert entered.wait(30), "the newcomer goes on although this one has not left"
    thread.join()


def test_locks_do_not_depend_on_a_folder_that_somebody_else_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / f"evalkit-{os.getuid()}").symlink_to("/etc")
    with locks.beside_others():
        assert (tmp_path / "cache" / "evalkit" / "locks" / "gate").exists()


def test_the_cache_of_executables_has_a_limit_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_MOST_CACHED_BYTES", 10_000)
    for number in range(8):
        compiling._store(tmp_path / str(number), bytes(3000))
        os.utime(tmp_path / str(number), (number, number))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 10_000
    assert (tmp_path / "7").exists()


@pytest.mark.slow
def test_a_burner_in_one_judge_does_not_stop_another() -> None:
    """While one program meets its limit and is run again, quick ones are judged all the time."""
    burner = Program("while True: pass", [("", "")], limits=Limits(cpu_seconds=1))
    quick = Program("print(1)", [("", "1")], limits=Limits(cpu_seconds=60))
    with Sandbox() as sandbox:
        thread = threading.Thread(target=lambda: judge(burner, sandbox=sandbox))
        thread.start()
        longest, judged = 0.0, 0
        while thread.is_alive():
            begin = time.monotonic()
            assert judge(quick, sandbox=sandbox).passed
            longest, judged = max(longest, time.monotonic() - begin), judged + 1
        thread.join()
    assert judged > 2
    assert longest < locks.MOST_WAIT_SECONDS + locks.MOST_ALONE_SECONDS + 20
