"""A copy of the project, with a Python of its own that imports the copy, in which one change at a time is made."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .changes import Change

_MEMORY = 14 << 30  # bytes of address space of each process


@dataclass(frozen=True)
class Outcome:
    """How a run of some tests ended."""

    status: str  # "passed", "failed", "timeout"
    seconds: float
    failed: tuple[str, ...]
    output: str


class Copy:
    """The copy. Nothing is ever written into the tree that it was made of."""

    def __init__(self, repository: Path, folder: Path, left_out: Sequence[str] = ("vllm", "peers")) -> None:
        self.left_out = left_out  # marks of tests
        self.root = folder / "tree"
        self.scratch = folder / "scratch"
        self.scratch.mkdir(parents=True)
        self._written = int(time.time())
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True).stdout
        for name in listed.split("\0"):
            if name and (source := repository / name).exists():
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, self.root / name, follow_symlinks=False)
        self._make_python()

    def _make_python(self) -> None:
        packages = self.root / "build" / "import"
        packages.mkdir(parents=True)
        for name, target in (
            ("evalkit", "evalkit"),
            ("evalkit_tasks", "tasks"),
            ("evalkit_published", "results/published"),
        ):
            (packages / name).symlink_to(self.root / target)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.root / ".venv"], check=True)
        [site] = (self.root / ".venv" / "lib").glob("python*/site-packages")
        behind = [path for path in sys.path if path.endswith("site-packages")]
        # a folder named in a .pth file is searched, but its own .pth files, the editable installation, are not read
        lines = [str(packages), str(self.root / "tests"), *behind, "import mutants.measured"]
        (site / "mutants.pth").write_text("\n".join(lines) + "\n")
        own = self.root / ".venv" / "bin"
        for folder in dict.fromkeys([Path(sys.executable).parent, *(Path(p).parents[2] / "bin" for p in behind)]):
            for script in folder.iterdir():
                if script.is_file() and not (own / script.name).exists():
                    (own / script.name).symlink_to(script)
        for name in ("evalkit", "pytest"):
            (own / name).unlink(missing_ok=True)
        (own / "evalkit").write_text(
            f"#!{own / 'python'}\nimport sys\nfrom evalkit.cli.main import main\nsys.exit(main())\n"
        )
        (own / "evalkit").chmod(0o755)

    @contextmanager
    def changed(self, change: Change) -> Iterator[None]:
        path = self.root / change.file
        source = path.read_bytes()
        try:
            self._write(path, change.applied(source))
            yield
        finally:
            self._write(path, source)

    def _write(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        # byte code is told from the source by size and whole seconds: no two versions may share both
        self._written += 1
        os.utime(path, (self._written, self._written))

    def test(self, tests: Sequence[str], limit: float, options: Sequence[str] = ("-x",)) -> Outcome:
        """Run exactly these tests, in this order, in one process."""
        wanted = self.scratch / "wanted.json"
        wanted.write_text(json.dumps(tests))
        failed = wanted.with_suffix(".failed")
        failed.unlink(missing_ok=True)
        files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
        ended = self.pytest(["-n", "0", *options, *files], limit, {"MUTANTS_TESTS": str(wanted)})
        code, seconds, output = ended
        names = tuple(json.loads(line) for line in failed.read_text().splitlines()) if failed.exists() else ()
        status = "timeout" if code is None else "passed" if code == 0 else "failed"
        return Outcome(status, seconds, names, output)

    def pytest(
        self, arguments: Sequence[str], limit: float, environment: Mapping[str, str]
    ) -> tuple[int | None, float, str]:
        """The exit code (None: it took longer than `limit` seconds), the seconds, and the end of the output."""
        python = self.root / ".venv" / "bin" / "python"
        temporary = self.scratch / "temporary"
        temporary.mkdir()
        command = [
            str(python),
            "-m",
            "pytest",
            "-p",
            "mutants.plugin",
            "-p",
            "no:cacheprovider",
            "-m",
            " and ".join(f"not {mark}" for mark in self.left_out),
            "--tb=line",
            *arguments,
        ]
        variables = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(temporary), **environment}
        begun = time.monotonic()
        with (self.scratch / "output").open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=self.root,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_limit,
            )
            try:
                code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end_group(process.pid)
                process.wait()
        seconds = time.monotonic() - begun
        shutil.rmtree(temporary, ignore_errors=True)
        return code, seconds, (self.scratch / "output").read_text(errors="replace")[-4000:]


def _end_group(group: int) -> None:
    """What the tests left running ends with them."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
