"""Fixtures that several test modules share."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets in the hub's schemas. Where they have to be there, a missing folder is a failure."""
    folder = os.environ.get("EVALKIT_DATA")
    if folder is None:
        if os.environ.get("EVALKIT_REQUIRE_REAL_DATA"):
            pytest.fail("EVALKIT_REQUIRE_REAL_DATA is set, but EVALKIT_DATA is not")
        pytest.skip("EVALKIT_DATA is not set: no real data at hand")
    return Path(folder)


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What evalkit remembers of its user, such as trusted task files, is that of the tests alone."""
    folder = tmp_path_factory.mktemp("state")
    os.environ["XDG_STATE_HOME"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Path:
    """The smallest of the demo's real checkpoints."""
    return REPOSITORY / "examples" / "tiny_distill" / "student-distilled"
