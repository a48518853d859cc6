"""What pyproject.toml, constraints.txt, the Makefile and the CI workflow say of each other."""

import json
import re
import tomllib
from itertools import chain
from typing import Any

from helpers import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

NOT_PINNED = {"vllm", "evalkit"}  # vLLM brings a torch of its own


def project_table() -> dict[str, Any]:
    return dict(tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"])


def direct_dependencies() -> list[Requirement]:
    project = project_table()
    listed = chain(project["dependencies"], *project["optional-dependencies"].values())
    return [r for r in map(Requirement, listed) if r.name not in NOT_PINNED]


def pins() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in (REPOSITORY / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert (pin.operator, requirement.extras, requirement.url) == ("==", set(), None), line
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} is pinned twice"
            found[name] = pin.version
    return found


def test_every_direct_dependency_is_pinned_within_its_range() -> None:
    pinned = pins()
    for requirement in direct_dependencies():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in constraints.txt: make constraints"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}, but {version} is pinned"


def test_the_makefile_installs_the_pinned_torch() -> None:
    assert f"TORCH ?= torch=={pins()['torch']}\n" in (REPOSITORY / "Makefile").read_text()


def test_the_workflow_and_ci_call_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    for path in (".github/workflows/ci.yml", ".ci/run"):
        called = re.findall(r"\bmake ([a-z -]+)$", (REPOSITORY / path).read_text(), re.MULTILINE)
        assert called, path
        assert set(" ".join(called).split()) <= targets, path


def test_the_workflow_tries_every_python_that_is_declared() -> None:
    declared = [c.rpartition(" ")[2] for c in project_table()["classifiers"] if ":: Python :: 3." in c]
    workflow = (REPOSITORY / ".github/workflows/ci.yml").read_text()
    assert f"python: {json.dumps(declared)}" in workflow
    assert project_table()["requires-python"] == f">={declared[0]}"
