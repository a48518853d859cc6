"""The options of the engines that come with evalkit: what `-E name=value`, the flags and their help are made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Gt, Interval

from evalkit.engines.base import option
from evalkit.engines.templates import DATE

Count = Annotated[int, Gt(0)]
Seconds = Annotated[float, Gt(0)]


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """Which checkpoint it is, for engines that read one."""

    revision: str | None = option(None, "The checkpoint's revision on the hub.", recorded=False)
    trust_remote_code: bool = option(False, "Run code that comes with the checkpoint.", recorded=False)
    max_model_len: Count | None = option(
        None, "Tokens of prompt and completion together [default: by checkpoint].", recorded=False
    )
    tokenizer: str | None = option(
        None, "Folder or hub id of the tokenizer [default: the checkpoint's].", recorded=False
    )
    chat_template: str | None = option(
        None, "Jinja file of a chat template, or the name of one of the checkpoint's.", recorded=False
    )
    chat_template_arg: tuple[str, ...] = option(
        (), "A variable of the chat template, NAME=VALUE with VALUE as JSON or text; repeatable.", recorded=False
    )
    reasoning_effort: str | None = option(
        None, "How long to think, such as low or high, where template or server ask.", recorded=False
    )
    template_date: str = option(
        DATE, f"The date that chat templates print, YYYY-MM-DD [default: {DATE}].", recorded=False
    )


@dataclass(frozen=True, slots=True)
class LocalOptions(CheckpointOptions):
    """How a checkpoint is run on this machine."""

    dtype: str = option("auto", "float32, bfloat16 or float16; auto: the checkpoint's [default: auto].")
    device: str | None = option(None, "cuda, mps or cpu [default: the best there is].", recorded=False)
    batch_size: Count | None = option(None, "Sequences generated at once [default: by memory].", recorded=False)
    stop_repetition: bool = option(False, "End completions that fall into an exact loop; counts as truncated.")
    end_token: tuple[str, ...] = option(
        (), "One more token that ends a response, such as <|im_end|>; repeatable.", recorded=False
    )
    data_parallel: Count | None = option(None, "Replicas [default: as many as the GPUs allow].", recorded=False)
    ray: str | None = option(None, "Run replicas on a Ray cluster: its address, or auto.", recorded=False)
    lora: str | None = option(
        None, "A LoRA adapter on top of the checkpoint: its folder or hub id, ORG/NAME@REVISION.", recorded=False
    )


@dataclass(frozen=True, slots=True)
class TransformersOptions(LocalOptions):
    """Options of the transformers engine."""

    cuda_graphs: bool = option(True, "Record decoding steps as CUDA graphs [default: true].", recorded=False)


@dataclass(frozen=True, slots=True)
class VLLMOptions(LocalOptions):
    """Options of the vllm engine."""

    tensor_parallel: Count | None = option(None, "GPUs that share one replica [default: as many as the weights need].")
    gpu_memory_utilization: Annotated[float, Interval(gt=0, le=1)] = option(
        0.9, "The share of a GPU's memory that is used [default: 0.9].", recorded=False
    )
    quantization: str | None = option(None, "vLLM's name of it, such as fp8 or awq.")
    engine_arguments: Mapping[str, object] = field(default_factory=dict, metadata={"others": True, "recorded": False})
    sample_seeds: bool = option(
        True, "A seed of its own for each sample; without, vLLM may draw faster.", recorded=False
    )


@dataclass(frozen=True, slots=True)
class OpenAIOptions(CheckpointOptions):
    """Options of the openai engine."""

    base_url: tuple[str, ...] = option(
        (), "The URL of a server, such as http://localhost:8000/v1; repeatable.", recorded=False
    )
    served_model: str | None = option(None, "The model's name at the server [default: MODEL].", recorded=False)
    api: Literal["chat", "completions"] = option(
        "chat",
        "chat: the server applies the chat template; completions: it gets the text rendered here [default: chat].",
    )
    concurrency: Count | None = option(
        None, "Requests in flight to each server [default: found while running].", recorded=False
    )
    request_timeout: Seconds | None = option(
        None, "Seconds for one request [default: by what completions take].", recorded=False
    )
    patience: Seconds = option(120.0, "Seconds to wait for a silent server [default: 120].", recorded=False)
    stream: bool = option(True, "Have responses sent as they are made.", recorded=False)
    server_preset: str | None = option(
        None, "The kind of server, such as vllm or mistral [default: found].", recorded=False
    )
    request_field: tuple[str, ...] = option((), "A field of every request, as NAME=JSON; repeatable.", recorded=False)
    drop_field: tuple[str, ...] = option((), "A field that is not sent; repeatable.", recorded=False)
    rename_field: tuple[str, ...] = option(
        (), "A field that the server calls otherwise, as OLD=NEW; repeatable.", recorded=False
    )
    header: tuple[str, ...] = option(
        (), "A header of every request, as 'NAME: VALUE'; never recorded; repeatable.", recorded=False
    )
    accept_changed_server: bool = option(
        False, "Resume with a server that is not the one before; recorded.", recorded=False
    )


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """Options of the replay engine."""

    recorded: tuple[str, ...] = option((), "A file of recorded completions; repeatable.", recorded=False)
    map: str = option("", "The fields of its rows, such as text=generation,problem=question.", recorded=False)


OWN_OPTIONS: dict[str, type] = {
    "transformers": TransformersOptions,
    "vllm": VLLMOptions,
    "openai": OpenAIOptions,
    "replay": ReplayOptions,
}
"""Those whose options are flags of `evalkit run` too."""
