"""vLLM's own engine arguments, given as `-E name=value` beside evalkit's options."""

import contextlib
import io
from collections.abc import Mapping
from typing import Any

from evalkit.benchmark.registry import did_you_mean
from evalkit.engines.vllm.start import set_environment
from evalkit.errors import EvalkitError

OWN_NAMES = {
    "model": "MODEL",
    "tokenizer": "a checkpoint with that tokenizer",
    "seed": "--seed",
    "tensor_parallel_size": "-E tensor_parallel",
    "data_parallel_size": "-E data_parallel",
    "max_num_seqs": "-E batch_size",
    "enable_lora": "-E lora",
    "max_lora_rank": "-E lora",
}
"""Arguments that evalkit sets, and the option that stands for each."""


def read_engine_arguments(texts: Mapping[str, object]) -> dict[str, Any]:
    """The values of vLLM's EngineArgs, read from text by vLLM's own parser.

    A value that is no text is taken as it is. Raises EvalkitError on a name that vLLM does not have, on one that an
    option of evalkit stands for, and on a value that vLLM cannot read.
    """
    if not texts:
        return {}
    for name in texts:
        if name in OWN_NAMES:
            raise EvalkitError(f"The vllm engine sets {name} itself.", f"give {OWN_NAMES[name]} instead.")
    set_environment()
    import dataclasses

    from vllm.engine.arg_utils import EngineArgs

    known = [field.name for field in dataclasses.fields(EngineArgs) if field.init]
    for name in texts:
        if name not in known:
            raise EvalkitError(
                f"The vllm engine has no option {name!r}, nor has vLLM such an engine argument."
                f"{did_you_mean(name, known)}",
                "see `evalkit engines show vllm` and vLLM's page on engine arguments.",
            )
    return {name: _read(name, value) if isinstance(value, str) else value for name, value in texts.items()}


def _read(name: str, text: str) -> Any:
    try:
        from vllm.utils.argparse_utils import FlexibleArgumentParser
    except ImportError:  # where it stood before
        from vllm.utils import FlexibleArgumentParser
    from vllm.engine.arg_utils import EngineArgs

    flag = "--" + name.replace("_", "-")
    switch = {"true": [flag], "false": [flag.replace("--", "--no-", 1)]}.get(text.lower(), [])
    for words in filter(None, (switch, [f"{flag}={text}"])):
        parser = EngineArgs.add_cli_args(FlexibleArgumentParser(exit_on_error=False))
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                return getattr(parser.parse_args(words), name)
        except (SystemExit, Exception) as error:  # argparse ends the program; a type's own reader raises what it likes
            fault = said.getvalue().strip().splitlines()
            reason = fault[-1] if fault else str(error)
    raise EvalkitError(f"vLLM cannot read {name}={text}: {reason}", "vLLM's page on engine arguments has its values.")
