"""--stop-repetition on a real engine: a loop ends early, is marked and counted as truncated; nothing else changes."""

from pathlib import Path

import pytest
import torch
import transformers
from test_backend_transformers import SIZE, ask, backend_of, make_checkpoint

from evalkit.engines.repetition import CHECK_EVERY, loop_period
from evalkit.types import SamplingParams


def forget_all_but_the_last_token(folder: Path) -> None:
    """Without attention the next token is a function of the last one: greedy decoding has to end in a loop."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    model.save_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_a_loop_is_ended_and_the_text_before_it_is_the_same(family: str, tmp_path: Path) -> None:
    size = {**SIZE, "max_position_embeddings": 4096, "num_hidden_layers": 1}
    config = (
        transformers.Qwen2Config(**size)
        if family == "qwen2"
        else transformers.MistralConfig(**size, sliding_window=16, bos_token_id=256, eos_token_id=259)
    )
    folder = make_checkpoint(tmp_path, config, ends=[259])
    forget_all_but_the_last_token(folder)
    requests = [ask(str(i), SamplingParams(temperature=0, max_tokens=1400), f"Problem {i}") for i in range(4)]
    whole = {c.key: c for c in backend_of(folder).generate(iter(requests))}
    ended = {c.key: c for c in backend_of(folder, stop_repetition=True).generate(iter(requests))}
    looped = [c for c in ended.values() if c.finish_reason == "repetition"]
    assert looped
    for completion in ended.values():
        full = whole[completion.key]
        assert full.text.startswith(completion.text.rstrip("\ufffd")), "the last character may be cut in two"
        if completion.finish_reason == "repetition":
            assert completion.truncated
            assert completion.completion_tokens is not None
            assert full.completion_tokens is not None
            assert completion.completion_tokens % CHECK_EVERY == 0
            assert completion.completion_tokens < full.completion_tokens
        else:
            assert completion.finish_reason == full.finish_reason


def test_the_option_is_part_of_the_identity(tmp_path: Path) -> None:
    folder = make_checkpoint(tmp_path, transformers.Qwen2Config(**SIZE))
    assert backend_of(folder).identity() != backend_of(folder, stop_repetition=True).identity()


def test_what_only_resembles_a_loop_is_none() -> None:
    counting = [digit for number in range(2000) for digit in map(int, str(number))]
    assert loop_period(counting) is None
    assert loop_period([1, 2, 3] * 500) == 3
    assert loop_period([1, 2, 3] * 300) is None, "900 tokens are not far beyond chance"
