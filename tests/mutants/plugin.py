"""The pytest side: which test runs now (MUTANTS_MAP), or only the given tests, in the given order (MUTANTS_TESTS)."""

import json
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from _pytest.fixtures import FixtureDef, SubRequest

_RUNNING = "MUTANTS_RUNNING"


def pytest_configure(config: pytest.Config) -> None:
    if folder := os.environ.get("MUTANTS_MAP"):
        worker = os.environ.get("PYTEST_XDIST_WORKER")
        if worker or not config.getoption("numprocesses", None):
            config.pluginmanager.register(_Map(Path(folder), worker or "main"))
    if path := os.environ.get("MUTANTS_TESTS"):
        config.pluginmanager.register(_Selection(Path(path)))


class _Map:
    """Tells coverage the test, or the fixture that several tests share; writes seconds and fixtures of each test."""

    def __init__(self, folder: Path, worker: str) -> None:
        self.running = folder / f"running-{worker}"
        self.told = (folder / f"tests-{worker}.jsonl").open("w")
        self.contexts = [""]
        os.environ[_RUNNING] = str(self.running)

    def _switch(self) -> None:
        import coverage

        self.running.write_text(self.contexts[-1])
        if measured := coverage.Coverage.current():
            measured.switch_context(self.contexts[-1])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.contexts.append(item.nodeid)
        self._switch()
        self.failed, begun = False, time.perf_counter()
        try:
            return (yield)
        finally:
            self.contexts.pop()
            fixtures: Any = getattr(item, "_fixtureinfo", None)
            names = [] if fixtures is None else fixtures.names_closure
            shared = [
                _name(one)
                for name in names
                for one in fixtures.name2fixturedefs.get(name, ())
                if one.scope != "function"
            ]
            seconds = round(time.perf_counter() - begun, 3)
            record = {"test": item.nodeid, "seconds": seconds, "failed": self.failed, "fixtures": shared}
            self.told.write(json.dumps(record) + "\n")
            self.told.flush()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed |= report.failed

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: FixtureDef[object], request: SubRequest
    ) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        self.contexts.append(_name(fixturedef))
        self._switch()
        try:
            return (yield)
        finally:
            self.contexts.pop()
            self._switch()


def _name(fixture: FixtureDef[object]) -> str:
    return f"fixture {fixture.baseid}::{fixture.argname}"


class _Selection:
    """Deselects what is not in the file, and names the first test that failed in a file beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wanted = {test: i for i, test in enumerate(json.loads(path.read_text()))}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self.wanted]
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in self.wanted])
        items[:] = sorted(chosen, key=lambda item: self.wanted[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            with self.path.with_suffix(".failed").open("a") as file:
                file.write(json.dumps(report.nodeid) + "\n")
