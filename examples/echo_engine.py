"""A complete engine in one file: it answers with words of the prompt. Try it:

evalkit engines check echo --engine-file examples/echo_engine.py
evalkit run any-model -t arithmetic --engine echo --engine-file examples/echo_engine.py -E words=5
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evalkit import Completion, Request
from evalkit.engines import Engine, option


@dataclass(frozen=True, slots=True)
class EchoOptions:
    words: int = option(40, "Words that an answer has at most.")


class EchoEngine(Engine):
    """Answers with words of the prompt, in an order that the sample's seed decides."""

    name = "echo"
    options_class = EchoOptions

    def __init__(self, model: str, options: EchoOptions) -> None:
        self.model = model
        self.options = options

    def identity(self) -> dict[str, Any]:
        return {"engine": self.name, "model": self.model, "words": self.options.words}

    def generate(self, requests: Iterator[Request]) -> Iterator[Completion]:
        for request in requests:
            started = time.monotonic()
            params = request.params
            words = request.messages[-1]["content"].split() * 10
            if params.temperature > 0:
                random.Random(request.seed).shuffle(words)
            words = words[: self.options.words]
            tokens = words[: params.max_tokens]
            text = " ".join(tokens)
            found = [text.index(stop) for stop in params.stop if stop in text]
            cut = len(tokens) < len(words) and not found
            yield Completion(
                *request.key,
                text=text[: min(found)] if found else text,
                finish_reason="length" if cut else "stop",
                prompt_tokens=None,
                completion_tokens=len(tokens),
                seconds=time.monotonic() - started,
            )
