"""The two models of a measurement, loaded by the transformers engine."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from evalkit.engines.base import LoadedModel
from evalkit.engines.registry import open_engine
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.engines.transformers.engine import TransformersEngine


class ForcedModel:
    """A checkpoint whose logits are asked for. Weights are loaded when `model` is first used."""

    def __init__(self, model: str | Path | LoadedModel, options: Mapping[str, object]) -> None:
        self._engine = cast("TransformersEngine", open_engine("transformers", model, options))
        self.name = str(self._engine.checkpoint.model)

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
        return self._engine.load()

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
