"""The two models of a measurement, loaded by the transformers engine."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from evalkit.engines.base import EngineOptions
from evalkit.engines.transformers.engine import TransformersBackend
from evalkit.errors import EvalkitError


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a checkpoint is loaded; `dtype` is a torch type's name, or auto for its own (on a CPU float32)."""

    revision: str | None = None
    dtype: str = "auto"
    device: str | None = None
    trust_remote_code: bool = False


class ForcedModel:
    """A checkpoint whose logits are asked for. Weights are loaded when `model` is first used."""

    def __init__(self, name: str, options: LoadOptions) -> None:
        self._engine = TransformersBackend(
            name,
            EngineOptions(
                revision=options.revision,
                dtype=options.dtype,
                device=options.device,
                trust_remote_code=options.trust_remote_code,
            ),
        )
        self.name = name

    @cached_property
    def identity(self) -> dict[str, str]:
        """What of the checkpoint changes a figure: its fingerprint and the type that it is computed in."""
        told = self._engine.identity()
        return {"fingerprint": str(told["fingerprint"]), "dtype": str(told["dtype"])}

    @property
    def tokenizer(self) -> Any:
        return self._engine.tokenizer

    @property
    def model(self) -> Any:
        return self._engine._load()

    def require_length(self, tokens: int) -> None:
        """Raises EvalkitError where a text has more tokens than the model has positions."""
        length = self._engine.context_length()
        if length is not None and tokens > length:
            raise EvalkitError(
                f"A text has {tokens:,} tokens, and {self.name} has room for {length:,}.",
                "leave the long ones out with --max-tokens.",
            )

    def close(self) -> None:
        self._engine.close()
