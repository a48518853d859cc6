"""Fixtures that several test modules share."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hub_server import Hub, fill

if importlib.util.find_spec("hypothesis"):  # the environment of `make test-vllm` has none
    import hypothesis

    # the same examples each time, however busy the machine is
    hypothesis.settings.register_profile("evalkit", deadline=None, derandomize=True)
    hypothesis.settings.load_profile("evalkit")

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The real data sets in the hub's schemas. Where they have to be there, a missing folder is a failure."""
    folder = os.environ.get("EVALKIT_DATA")
    if not folder:
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


@pytest.fixture(scope="module")
def train_script() -> Iterator[ModuleType]:
    """examples/tiny_distill/train.py as a module. Torch runs on one thread, as the script has it."""
    torch = pytest.importorskip("torch")
    path = REPOSITORY / "examples" / "tiny_distill" / "train.py"
    spec = importlib.util.spec_from_file_location("tiny_distill_train", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    spec.loader.exec_module(module)
    yield module
    torch.set_num_threads(threads)
    del sys.modules[spec.name]


@pytest.fixture(scope="session")
def sharded(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's smallest checkpoint in several files."""
    import transformers

    folder = tmp_path_factory.mktemp("sharded")
    shutil.copytree(tiny_checkpoint, folder, dirs_exist_ok=True)
    (folder / "model.safetensors").unlink()
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_checkpoint)
    model.save_pretrained(folder, max_shard_size="200KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


@pytest.fixture
def hub(sharded: Path) -> Iterator[Hub]:
    """A hub with a model in several files, a data set in two, and a gated one."""
    with Hub() as served:
        fill(served, sharded)
        yield served


@pytest.fixture
def here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub as this process sees it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    addresses = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", addresses)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "EVALKIT_DATA"):
        monkeypatch.delenv(name, raising=False)
    return hub


@pytest.fixture
def patient_graders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time enough for a comparison on a busy machine, where what is tested is its result."""
    import evalkit.grading.math as graders

    monkeypatch.setattr(graders.compare_answers, "__kwdefaults__", {"timeout": 30.0})
    monkeypatch.setattr(graders, "CALCULUS_TIMEOUT", 20.0)


def pytest_configure() -> None:
    """Under `coverage run` a worker ends by itself, so that it writes what it has measured; a kill would lose that."""
    if "COVERAGE_RUN" not in os.environ:
        return
    from evalkit.workers import _Worker

    def end(worker: _Worker) -> None:
        assert worker.process.stdin is not None
        with contextlib.suppress(OSError):
            worker.process.stdin.close()
        try:
            worker.process.wait(10)
        except subprocess.TimeoutExpired:
            worker.process.kill()

    _Worker.kill = end  # type: ignore[method-assign, assignment]  # for good: pools are closed at exit
