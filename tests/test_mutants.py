"""The tool of `make mutants`: what it changes, what it leaves alone, and a small project from start to end."""

import shutil
import subprocess
import textwrap
from pathlib import Path

import pytest
from mutants.__main__ import main
from mutants.changes import changes, signatures
from mutants.covering import users_of
from mutants.results import Equivalent, outdated


def changed(source: str, tmp_path: Path) -> dict[str, set[str]]:
    """By kind, the changes of a source as `before -> after`."""
    path = tmp_path / "a.py"
    path.write_text(textwrap.dedent(source))
    found: dict[str, set[str]] = {}
    for change in changes("a.py", path.read_bytes(), signatures([path])):
        compile(change.applied(path.read_bytes()), "a.py", "exec")
        found.setdefault(change.kind, set()).add(str(change))
    return found


def test_each_kind_of_change(tmp_path: Path) -> None:
    source = """
        def f(low: int, high: int, *, step: int = 1) -> int:
            if not low or (low) <= high:  # not <
                raise ValueError("no")
            "é"; box.total -= step
            f(low, high, step=3)
            return low if low else [x for x in y if x is not None]
    """
    found = changed(source, tmp_path)
    assert found["comparison"] == {"<= -> <", "is not -> is"}
    assert found["and / or"] == {"or -> and"}
    assert found["not removed"] == {"not low -> low"}
    assert found["arithmetic"] == {"-= -> +="}
    assert found["constant"] == {"1 -> 2", "3 -> 4", '"é" -> ""'}
    assert found["keyword dropped"] == {"step=3 -> nothing"}
    assert found["arguments swapped"] == {"low, high -> high, low"}
    assert found["condition negated"] == {"low -> not (low)"}
    assert {'raise ValueError("no") -> pass', "box.total -= step -> pass"} <= found["statement removed"]
    assert len(found["return value"]) == 1


@pytest.mark.parametrize(
    "source",
    [
        '"""A text."""',
        "def f(a: Literal['x'], b: 'int | None') -> tuple[int, 1]: ...",
        "if TYPE_CHECKING:\n    x = 1",
        "class A:\n    def __repr__(self):\n        return 'A' + self.name",
        "logger.warning('three words here', 3)",
        "x = EvalkitError('one', 'two')",
        "click.echo(f'{1 + 1}')",
        "WORDS = {'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'}",
        "x = 'words that somebody reads'",
        "assert x == 1",
        "__all__ = ['a']",
    ],
)
def test_what_is_for_readers_is_left_alone(source: str, tmp_path: Path) -> None:
    assert not changed(source, tmp_path)


def test_a_listed_mutant_whose_line_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f():\n    return 1\n")
    there = Equivalent("a.py", "return 1", "1 -> 2", "")
    gone = [Equivalent("a.py", "return 2", "2 -> 3", ""), Equivalent("b.py", "return 1", "1 -> 2", "")]
    assert outdated([there, *gone], tmp_path) == gone


STATS = """
import subprocess
import sys

LIMIT = 3

def small(n):
    return n < LIMIT

def child(n):
    code = "from evalkit.stats import doubled; print(doubled(%d))" % n
    return int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE).stdout)

def doubled(n):
    return n * 2

def never(n):
    return n + 1
"""
TESTS = """
import pytest
from evalkit.stats import child, small

@pytest.fixture(scope="module")
def four():
    return child(2)

def test_first(four):
    assert four

def test_second(four):
    assert four == 4

def test_small():
    assert small(1)
    assert not small(3.5)
"""


@pytest.mark.slow
def test_a_small_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "project"
    own = Path(__file__).with_name("mutants")
    shutil.copytree(own, project / "tests" / "mutants", ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in (
        ("evalkit/__init__.py", ""),
        ("evalkit/stats/__init__.py", STATS),
        ("tests/test_stats.py", TESTS),
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    (project / "pyproject.toml").write_text("[tool.pytest.ini_options]\naddopts = '-q'\n")
    (project / ".gitignore").write_text("build/\n__pycache__/\n")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    options = ["--repository", str(project), "--area", "stats", "--per-area", "30", "--processes", "0"]
    main(options)
    out = capsys.readouterr().out
    # one mutant a line; what the fixture does in a process of its own counts for both tests that use it
    assert "killed        evalkit/stats/__init__.py:15" in out
    assert "test_second" in out
    assert "without cover evalkit/stats/__init__.py:18" in out
    assert (project / "evalkit/stats/__init__.py").read_text() == STATS
    main(options)
    again = capsys.readouterr().out
    assert "measured" not in again
    assert again.partition("area ")[2] == out.partition("area ")[2], "what was tried is not tried again"


def test_a_constant_is_tried_first_with_the_tests_of_the_lines_that_use_it(tmp_path: Path) -> None:
    source = "LIMIT: int = 3\nLIMITS = 4\n\n\ndef f(x: int) -> int:\n    return min(x, LIMIT)\n\n\nprint(LIMITS)\n"
    (tmp_path / "a.py").write_text(source)
    found = list(changes("a.py", source.encode(), signatures([tmp_path / "a.py"])))
    assert {str(c): users_of(c, source) for c in found if c.kind == "constant"} == {"3 -> 4": [6], "4 -> 5": [9]}
    inside = [change for change in found if change.function]
    assert inside
    assert not any(users_of(change, source) for change in inside)
