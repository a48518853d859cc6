"""Which tests run which line, measured once and kept; test files that are new or changed are measured again."""

import difflib
import hashlib
import json
import re
import shutil
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from .changes import Change
from .copies import Copy

_SETTINGS = """[run]
data_file = {raw}/.coverage
include =
    {root}/evalkit/*
    {root}/tasks/*
parallel = true
patch = _exit
disable_warnings = no-data-collected, module-not-measured, couldnt-parse
"""
_LIMIT = 3600.0  # seconds for the measurement


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def users_of(change: Change, source: str) -> list[int]:
    """The other lines with the name that a statement sets, if the statement runs on import."""
    lines = source.splitlines()
    sets = re.match(r"\s*([A-Za-z_]\w*)\s*(?::[^=]+)?=", lines[change.lines[0] - 1])
    if change.function is not None or sets is None:
        return []
    name = re.compile(rf"\b{sets[1]}\b")
    own = range(change.lines[0], change.lines[1] + 1)
    return [i for i, line in enumerate(lines, 1) if i not in own and name.search(line)]


class Covering:
    """The measurements in a folder. The newest one of a test file counts."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.folder, self.repository = folder, repository
        self._load()

    def _load(self) -> None:
        self.parts = [_Part(path) for path in sorted(self.folder.glob("*/map.json"))]
        owner = {file: part for part in self.parts for file in part.files}
        self.seconds: dict[str, float] = {}
        for part in self.parts:
            part.files = {f: d for f, d in part.files.items() if owner[f] is part and (self.repository / f).exists()}
            self.seconds.update({test: each["seconds"] for test, each in part.own_tests().items()})

    def missing(self, files: Collection[str]) -> list[str]:
        known = {file: value for part in self.parts for file, value in part.files.items()}
        return sorted(file for file in files if known.get(file) != digest(self.repository / file))

    def measure(self, copy: Copy, files: Sequence[str], processes: int) -> None:
        """Run these test files once and record the lines of each test."""
        part = self.folder / f"{len(list(self.folder.glob('*'))):03d}"
        raw = part / "raw"
        raw.mkdir(parents=True)
        settings = part / "coveragerc"
        settings.write_text(_SETTINGS.format(raw=raw.resolve(), root=copy.root.resolve()))
        environment = {
            "MUTANTS_MAP": str(part.resolve()),
            "MUTANTS_RUNNING": str(part.resolve() / "running"),
            "COVERAGE_PROCESS_START": str(settings.resolve()),
            "COVERAGE_RUN": "true",  # workers end by themselves and write what they have measured
        }
        code, seconds, output = copy.pytest(["-n", str(processes), "--tb=short", *files], _LIMIT, environment)
        print(f"measured {len(files)} test files in {seconds:.0f} s: {output.strip().splitlines()[-1:]}", flush=True)
        if code not in (0, 1) or not any(part.glob("tests-*.jsonl")):
            raise SystemExit(f"the tests could not be measured:\n{output}")
        _finish(part, copy.root, {file: digest(self.repository / file) for file in files})
        self._load()

    def tests_of(self, change: Change, source: str, own: Collection[str]) -> list[str]:
        """The tests that run a change's statement, shortest first.

        If it runs on import, those that run a line with the name it sets, then those that run anything of its file, and
        then the others of the test files `own`.
        """
        first = self._that_run(change, source, users_of(change, source))
        return list(dict.fromkeys([*first, *self._that_run(change, source, None), *self._others(change, own)]))

    def _others(self, change: Change, own: Collection[str]) -> list[str]:
        return [] if change.function else self.tests_in(own)

    def _that_run(self, change: Change, source: str, used: Collection[int] | None) -> list[str]:
        """The tests that run one of the lines `used`, shortest first; None: what the change's own line is run by."""
        found: set[str] = set()
        for part in self.parts:
            lines = part.lines(change.file, source)
            if used is not None:
                wanted: Collection[int] = used
            elif change.function is None or change.cached:
                wanted = lines.keys()
            else:
                wanted = range(change.lines[0], change.lines[1] + 1)
                if not any(part.is_known(change.file, source, line) for line in wanted):
                    wanted = range(change.function[0] + 1, change.function[1] + 1)  # the line is new
            contexts = set().union(*(lines.get(line, ()) for line in wanted))
            found |= part.tests_of(contexts)
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def tests_in(self, files: Collection[str]) -> list[str]:
        """All tests of these files that passed, shortest first."""
        found = [test for test in self.seconds if test.partition("::")[0] in files and self._passed(test)]
        return sorted(found, key=lambda test: (self.seconds[test], test))

    def _passed(self, test: str) -> bool:
        return any(test in part.own_tests() and not part.tests[test]["failed"] for part in self.parts)


class _Part:
    """One measurement."""

    def __init__(self, path: Path) -> None:
        content = json.loads(path.read_text())
        self.path, self.root = path, content["root"]
        self.files: dict[str, str] = content["files"]
        self.tests: dict[str, dict[str, Any]] = content["tests"]
        self.sources: dict[str, str] = content["sources"]
        self.lines = cache(self._lines)
        self._moved = cache(self._compare)

    def own_tests(self) -> dict[str, dict[str, Any]]:
        return {test: each for test, each in self.tests.items() if test.partition("::")[0] in self.files}

    def _compare(self, file: str, source: str) -> dict[int, int]:
        """The present line of each measured line."""
        then = self.sources.get(file, "").splitlines()
        blocks = difflib.SequenceMatcher(None, then, source.splitlines(), autojunk=False).get_matching_blocks()
        return {block.a + i + 1: block.b + i + 1 for block in blocks for i in range(block.size)}

    def is_known(self, file: str, source: str, line: int) -> bool:
        return line in self._moved(file, source).values()

    def _lines(self, file: str, source: str) -> dict[int, set[str]]:
        """The contexts of each present line."""
        from coverage import CoverageData

        data = CoverageData(str(self.path.with_name("lines.coverage")))
        data.read()
        moved = self._moved(file, source)
        contexts = data.contexts_by_lineno(f"{self.root}/{file}")
        return {moved[line]: set(names) - {""} for line, names in contexts.items() if line in moved}

    def tests_of(self, contexts: set[str]) -> set[str]:
        shared = {context for context in contexts if context.startswith("fixture ")}
        return {
            test
            for test, each in self.own_tests().items()
            if not each["failed"] and (test in contexts or shared.intersection(each["fixtures"]))
        }


def _finish(part: Path, root: Path, files: dict[str, str]) -> None:
    """Put the files of all processes together."""
    import coverage

    combined = coverage.CoverageData(str(part / "lines.coverage"))
    for path in sorted((part / "raw").glob(".coverage*")):
        one = coverage.CoverageData(str(path))
        one.read()
        combined.update(one)
    combined.write()
    tests: dict[str, Any] = {}
    for told in part.glob("tests-*.jsonl"):
        for line in told.read_text().splitlines():
            record = json.loads(line)
            tests[record.pop("test")] = record
    paths = [p for f in ("evalkit", "tasks") for p in (root / f).rglob("*.py")]
    sources = {p.relative_to(root).as_posix(): p.read_text() for p in paths}
    content = {"root": str(root.resolve()), "files": files, "tests": tests, "sources": sources}
    (part / "map.json").write_text(json.dumps(content))
    shutil.rmtree(part / "raw")
