"""`python -m mutants`: sample mutants, run the tests that cover each, print what was noticed."""

import argparse
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from .areas import AREAS, Area, is_unmeasured, sources, tests
from .changes import Change, Signature, changes, signatures
from .copies import Copy
from .covering import Covering
from .results import Result, Results, equivalents, outdated, table, told


@cache
def _known(repository: Path) -> dict[str, Signature]:
    return signatures(path for name in ("evalkit", "tasks") for path in sorted((repository / name).rglob("*.py")))


def sampled(area: Area, seed: int, repository: Path) -> Iterator[tuple[Change, str]]:
    """The area's mutants in random order, with the line that each changes: a line, a kind, a change of it."""
    known = _known(repository)
    lines: dict[tuple[str, int], list[Change]] = {}
    texts = {}
    for file in sources(area, repository):
        source = (repository / file).read_bytes()
        texts[file] = source.decode().splitlines()
        for change in changes(file, source, known):
            lines.setdefault((file, change.line), []).append(change)
    rng = random.Random(f"{seed} {area.name}")
    order = sorted(lines)
    rng.shuffle(order)
    for file, line in order:
        there = lines[file, line]
        kind = rng.choice(sorted({change.kind for change in there}))
        change = rng.choice([change for change in there if change.kind == kind])
        yield change, texts[file][line - 1].strip()


class Session:
    """One seed: its sample, its results, and the copy that the mutants are made in."""

    def __init__(self, options: argparse.Namespace, copy: Copy, covering: Covering, results: Results) -> None:
        self.options, self.copy, self.covering, self.results = options, copy, covering, results
        self.repository: Path = options.repository
        self.listed = equivalents()
        self.unsteady: set[str] = set()

    def run(self, area: Area) -> None:
        wanted = self.options.per_area
        for change, source in sampled(area, self.options.seed, self.repository):
            if wanted == 0:
                return
            result = self.results.known(area.name, change, source)
            if result is None:
                result = self._tried(area, change, source)
                self.results.add(result)
                print(told(result), flush=True)
            wanted -= result.status != "equivalent"

    def _tried(self, area: Area, change: Change, source: str) -> Result:
        what = (area.name, change.file, change.line, source, change.kind, str(change))
        for entry in self.listed:
            if entry.is_of(change, source):
                return Result(*what, "equivalent", reason=entry.reason)
        own = tests(area, self.repository)
        if is_unmeasured(area, change.file):
            found = self.covering.tests_in(own)
        else:
            found = self.covering.tests_of(change, (self.repository / change.file).read_text(), own)
        found = [test for test in found if test not in self.unsteady]
        if not found:
            return Result(*what, "without cover")
        chosen, seconds = self._within(found)
        with self.copy.changed(change):
            outcome = self.copy.test(chosen, 60 + 5 * seconds)
        status = {"passed": "survived", "failed": "killed", "timeout": "timeout"}[outcome.status]
        killer = "" if status != "killed" else outcome.failed[0] if outcome.failed else "on import"
        return Result(*what, status, round(outcome.seconds, 1), len(chosen), len(found) - len(chosen), killer)

    def _within(self, found: list[str]) -> tuple[list[str], float]:
        """The first of the tests that fit into the time for a mutant, at least one."""
        total, chosen = 0.0, list[str]()
        for test in found:
            total += self.covering.seconds[test]
            if chosen and total > self.options.budget:
                break
            chosen.append(test)
        return chosen, min(total, self.options.budget + self.covering.seconds[chosen[-1]])

    def check_killers(self) -> bool:
        """Run the tests that noticed something without any change; what fails there has noticed nothing."""
        killers = sorted({r.killer for r in self.results.all if "::" in r.killer})
        if not killers:
            return True
        limit = 120 + 10 * sum(self.covering.seconds.get(test, 0.0) for test in killers)
        outcome = self.copy.test(killers, limit, ())
        self.unsteady |= set(outcome.failed)
        for test in outcome.failed:
            print(f"fails without a change, so its mutants are tried again without it: {test}")
        self.results.drop([r for r in self.results.all if r.killer in outcome.failed])
        return not outcome.failed


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-area", type=int, default=20, metavar="N")
    parser.add_argument("--area", action="append", choices=[area.name for area in AREAS])
    parser.add_argument("--budget", type=float, default=40.0, metavar="SECONDS", help="Of tests for each mutant.")
    parser.add_argument("--processes", type=int, default=2, help="For the measurement of what each test covers.")
    parser.add_argument("--quick", action="store_true", help="Leave out the tests that `make test` leaves out.")
    parser.add_argument("--folder", type=Path, help="Of the results. [build/mutants]")
    parser.add_argument("--again", action="store_true", help="Try again what was not noticed.")
    parser.add_argument("--measure-only", action="store_true")
    parser.add_argument("--list", action="store_true", help="Print the sample and run nothing.")
    parser.add_argument("--repository", type=Path, default=Path(__file__).parents[2])
    options = parser.parse_args(arguments)
    options.folder = options.folder or options.repository / "build" / "mutants"
    areas = [area for area in AREAS if not options.area or area.name in options.area]
    for entry in outdated(equivalents(), options.repository):
        print(f"equivalent.toml: the line is gone: {entry.file}: {entry.line}")
    if options.list:
        for area in areas:
            for _, (change, source) in zip(
                range(options.per_area), sampled(area, options.seed, options.repository), strict=False
            ):
                print(f"{area.name}: {change.file}:{change.line} {change.kind}: {change}\n    {source}")
        return
    left_out = ("vllm", "peers", "slow") if options.quick else ("vllm", "peers")
    results = Results(options.folder / f"seed-{options.seed}.json")
    with tempfile.TemporaryDirectory(prefix="evalkit-mutants-", ignore_cleanup_errors=True) as folder:
        _run(options, areas, Copy(options.repository, Path(folder), left_out), results)


def _run(options: argparse.Namespace, areas: list[Area], copy: Copy, results: Results) -> None:
    begun = time.monotonic()
    options.folder.mkdir(parents=True, exist_ok=True)
    covering = Covering(options.folder / "map", options.repository)
    for area in AREAS:  # in parts, so that a measurement that was stopped goes on
        if missing := covering.missing(tests(area, options.repository)):
            covering.measure(copy, missing, options.processes)
    if options.measure_only:
        return
    if options.again:
        results.drop([result for result in results.all if result.status in ("survived", "without cover")])
    session = Session(options, copy, covering, results)
    for _ in range(3):
        for area in areas:
            session.run(area)
        if session.check_killers():
            break
    print(f"\nseed {options.seed}, {time.monotonic() - begun:.0f} s\n")
    print(table(results.all, [area.name for area in areas]))
    print("\nnot noticed:\n")
    for result in results.all:
        if result.status in ("survived", "without cover"):
            print(told(result))


if __name__ == "__main__":
    main()
