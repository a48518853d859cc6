"""A checkpoint whose completions are as long as its prompts ask for, made and not trained.

Reasoning models take long over some problems and short over others, and the samples of one problem resemble each
other. A model of random weights has none of that. Here attention is uniform in the first layer, so that it gives the
mean of what the tokens so far carry: a capital letter in the prompt carries much, each letter that is written carries
a little, up or down, and the text ends when the mean falls below a threshold. So the length is the time that a random
walk takes down from a height that the capital letter sets (an inverse Gaussian variable). The other layers and the
MLPs compute and change nothing: they cost what they would cost in any other model of that size.
"""

import math
import random
import string
from collections.abc import Sequence
from typing import Any

from transformers_backend import make_checkpoint

CLASSES = string.ascii_uppercase
SHORTEST, LONGEST = 12, 700
"""Mean lengths, tokens, of the first and the last class; those between are spread evenly in the logarithm."""

_PROMPT = 60
_WALK = 7.0  # standard deviation of a step of the walk, in units of its mean step
_END = 131  # the token <|end|>
_WRITTEN = [ord(each) for each in string.ascii_lowercase + " "]


def mean_length(letter: str) -> float:
    """Tokens that a prompt with this capital letter gets, about."""
    return SHORTEST * math.pow(LONGEST / SHORTEST, CLASSES.index(letter) / (len(CLASSES) - 1))


def prompts(letters: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` prompts that take the letters in turn: digits, and one capital letter among them."""
    rng = random.Random(seed)
    texts = []
    for number in range(count):
        digits = "".join(rng.choice(string.digits) for _ in range(rng.randint(_PROMPT - 20, _PROMPT + 20)))
        at = rng.randrange(len(digits))
        texts.append(digits[:at] + letters[number % len(letters)] + digits[at:])
    return texts


def make_counting_checkpoint(folder: str, layers: int = 3, width: int = 128) -> None:
    """Write the checkpoint, with the tokenizer of `make_checkpoint`, to a folder."""
    import torch
    from transformers import AutoModelForCausalLM

    make_checkpoint(folder, (_END,), layers, width)
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    threshold = math.sqrt(width - 2) / (LONGEST + _PROMPT)
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            silence(layer, keep_values=number == 0)
        embeddings = model.model.embed_tokens.weight
        embeddings[:, :3] = torch.tensor([1.0, 0.0, 0.0])
        for letter in CLASSES:
            embeddings[ord(letter), 1] = threshold * (mean_length(letter) + _PROMPT)
        steps = torch.randn(len(_WRITTEN), generator=torch.Generator().manual_seed(0))
        embeddings[_WRITTEN, 1] = threshold * _WALK * (steps - steps.mean()) / steps.std()
        rest = (width - embeddings[:, :3].square().sum(1)).clamp(min=0)  # RMSNorm then changes nothing
        embeddings[:, 3:] *= (rest.sqrt() / embeddings[:, 3:].norm(dim=1))[:, None]
        head = model.lm_head.weight
        head[:] = 0
        head[:, 0] = -100
        head[_WRITTEN, 0] = 0
        head[_END, :3] = torch.tensor([100.0, 0.0, -100 / threshold])
    model.save_pretrained(folder)


def silence(layer: Any, keep_values: bool) -> None:
    """Let a layer add nothing; with `keep_values`, the mean of dimension 1 over all tokens so far, in dimension 2."""
    layer.mlp.down_proj.weight.zero_()
    layer.self_attn.o_proj.weight.zero_()
    if keep_values:
        for each in (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj):
            each.weight.zero_()
            each.bias.zero_()
        layer.self_attn.v_proj.weight[0, 1] = 1
        layer.self_attn.o_proj.weight[2, 0] = 1
