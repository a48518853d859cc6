"""evalkit against the source of several vLLM releases, without a GPU: how it starts, what it takes, what it refuses.

The source comes from the releases' wheels (`make test-vllm` fetches it; EVALKIT_VLLM_SOURCES names the folder).
"""

import ast
import inspect
import os
import re
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import stand_in_vllm
from vllm_sources import VERSIONS

from evalkit.engines.options import VLLMOptions
from evalkit.engines.vllm.arguments import OWN_NAMES
from evalkit.engines.vllm.engine import VLLMEngine

pytestmark = pytest.mark.vllm
REPOSITORY = Path(__file__).parent.parent


@dataclass(frozen=True)
class Release:
    """The unpacked source of one release."""

    folder: Path

    def python(self, code: str, **environment: str) -> str:
        """What a program prints that imports this release."""
        path = os.pathsep.join([str(self.folder), str(REPOSITORY)])
        cleared = {k: v for k, v in os.environ.items() if not k.startswith("VLLM_")}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**cleared, "PYTHONPATH": path, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def definition(self, file: str, name: str) -> ast.ClassDef:
        tree = ast.parse((self.folder / "vllm" / file).read_text())
        return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)

    def fields(self, file: str, name: str) -> set[str]:
        """The annotated names of a class."""
        body = self.definition(file, name).body
        return {n.target.id for n in body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}

    def parameters(self, file: str, name: str, method: str) -> list[str]:
        body = self.definition(file, name).body
        function = next(n for n in body if isinstance(n, ast.FunctionDef) and n.name == method)
        return [each.arg for each in (*function.args.args, *function.args.kwonlyargs)]


@pytest.fixture(params=VERSIONS)
def release(request: pytest.FixtureRequest) -> Release:
    folder = Path(os.environ.get("EVALKIT_VLLM_SOURCES", REPOSITORY / ".vllm-sources")) / request.param
    assert (folder / "vllm").is_dir(), f"no source in {folder}: run `python tests/vllm_sources.py`"
    return Release(folder)


LOOK = "import torch; torch.cuda.is_available(); "
START = "from vllm.utils.system_utils import get_mp_context; print(get_mp_context().get_start_method())"


def test_vllm_decides_to_spawn_whoever_has_looked_at_the_devices(release: Release) -> None:
    """vLLM's own decision. Left alone it forks after `is_available()`, and the forked engine cannot use CUDA."""
    assert release.python(LOOK + START) == "fork"
    ours = "from evalkit.engines.vllm.start import set_environment; set_environment(); "
    assert release.python(ours + LOOK + START) == "spawn"
    assert release.python(ours + LOOK + START, VLLM_WORKER_MULTIPROC_METHOD="fork") == "fork", "the user's word counts"


def test_its_log_goes_to_stderr(release: Release) -> None:
    ours = "from evalkit.engines.vllm.start import set_environment; set_environment(); "
    look = "from vllm import envs; print(envs.VLLM_LOGGING_STREAM)"
    assert release.python(look) == "ext://sys.stdout"
    assert release.python(ours + look) == "ext://sys.stderr"


def test_a_refused_request_is_told_from_a_fault_of_the_engine(release: Release) -> None:
    code = (
        "import importlib.util, sys\n"
        "spec = importlib.util.spec_from_file_location('exceptions', sys.argv[1])\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "from evalkit.engines.vllm.engine import _is_refusal\n"
        "class EngineDeadError(Exception): pass\n"
        "error = module.VLLMValidationError('too long', parameter='max_tokens', value=9)\n"
        "print(isinstance(error, ValueError), _is_refusal(error), _is_refusal(EngineDeadError()), "
        "_is_refusal(TypeError()))\n"
    )
    file = release.folder / "vllm" / "exceptions.py"
    assert release.python(code.replace("sys.argv[1]", repr(str(file)))) == "False True False False"


def test_every_argument_is_one_of_this_release(release: Release, tiny_checkpoint: Path) -> None:
    known = release.fields("engine/arg_utils.py", "EngineArgs")
    options = VLLMOptions(
        max_model_len=512, batch_size=8, quantization="fp8", stop_repetition=True, revision="main", device="cpu"
    )
    asked = VLLMEngine(str(tiny_checkpoint), options).engine_arguments()
    assert asked["stream_interval"] > 1
    assert set(asked) | {"max_lora_rank", "tensor_parallel_size"} <= known
    assert set(OWN_NAMES) <= known
    sampling = release.fields("sampling_params.py", "SamplingParams")
    assert {"temperature", "top_p", "top_k", "max_tokens", "seed", "stop", "detokenize", "output_kind"} <= sampling
    assert {"skip_special_tokens", "spaces_between_special_tokens"} <= sampling


def test_the_engine_has_the_methods_that_are_called(release: Release) -> None:
    file = "v1/engine/llm_engine.py"
    assert release.parameters(file, "LLMEngine", "from_engine_args")[1:3] == ["engine_args", "usage_context"]
    added = release.parameters(file, "LLMEngine", "add_request")
    assert added[1:4] == ["request_id", "prompt", "params"]
    assert "lora_request" in added
    assert release.parameters(file, "LLMEngine", "step") == ["self"]
    assert "request_ids" in release.parameters(file, "LLMEngine", "abort_request")
    assert {"num_gpu_blocks", "block_size", "kv_cache_size_tokens"} <= release.fields("config/cache.py", "CacheConfig")
    scheduler = release.fields("config/scheduler.py", "SchedulerConfig")
    assert {"max_num_seqs", "max_num_batched_tokens"} <= scheduler


def test_the_extra_names_these_releases() -> None:
    import tomllib

    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [low, high] = re.findall(r"0\.(\d+)", extras["vllm"][0])
    assert [f"0.{minor}.0" for minor in range(int(low), int(high))] == list(VERSIONS)


def test_the_stand_in_of_the_other_tests_has_nothing_that_this_release_has_not(release: Release) -> None:
    for file, name, stand_in in (
        ("engine/arg_utils.py", "EngineArgs", stand_in_vllm.EngineArgs),
        ("sampling_params.py", "SamplingParams", stand_in_vllm.SamplingParams),
        ("lora/request.py", "LoRARequest", stand_in_vllm.LoRARequest),
    ):
        assert {field.name for field in fields(stand_in)} <= release.fields(file, name)
    for method in ("add_request", "abort_request", "step"):
        ours = list(inspect.signature(getattr(stand_in_vllm.LLMEngine, method)).parameters)
        assert set(ours) <= set(release.parameters("v1/engine/llm_engine.py", "LLMEngine", method))
