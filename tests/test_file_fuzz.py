"""Mutants of every file format through every command: no traceback, no hang, little memory, nothing printed raw."""

from pathlib import Path

import pytest
from file_fuzz import Fuzzer, targets

MUTANTS = 400


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Fuzzer:
    return Fuzzer(tmp_path_factory.mktemp("fuzz"), seed=1)


@pytest.mark.slow
def test_the_files_are_understood_before_they_are_changed(fuzzer: Fuzzer, tmp_path: Path) -> None:
    """A mutant of a file that every command refuses would show nothing."""
    refused = [(target.name, command) for target in targets() for command in fuzzer.refused(target)]
    told = [f"{name}: {' '.join(command)}" for name, command in refused]
    assert len(told) <= 5, told  # plots of what the imported run does not tell, a peer's verdicts on our own run


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_no_mutant_breaks_a_promise(fuzzer: Fuzzer, part: int) -> None:
    for _ in range(MUTANTS // 4):
        assert fuzzer.mutant() == []
