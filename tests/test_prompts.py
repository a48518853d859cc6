"""What the model sees, to the token: templates, the think prefix, the beginning of the sequence."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from evalkit import EvalkitError, Message
from evalkit.engines.prompts import bos_count, opened_prefix, render_prompt

QUESTION: list[Message] = [{"role": "user", "content": "What is 1 + 1?"}]
PLAIN_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    """Bytes as tokens, and a tokenizer that puts a BOS before everything by itself, as Llama's does."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate(["<bos>", "<eos>", "<think>", "</think>", *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    from tokenizers.processors import TemplateProcessing

    backend.post_processor = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>")
    made.add_special_tokens({"additional_special_tokens": ["<think>", "</think>"]})
    return made


def test_the_template_writes_the_only_bos(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = PLAIN_TEMPLATE
    prompt = render_prompt(tokenizer, QUESTION, "<think>\n")
    assert prompt.text == "<bos><|user|>What is 1 + 1?<|assistant|><think>\n"
    assert prompt.prefix == "<think>\n"
    assert bos_count(tokenizer, prompt.token_ids) == 1
    assert tokenizer.decode(prompt.token_ids) == prompt.text


def test_a_template_that_opens_the_thinking_is_left_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = PLAIN_TEMPLATE.replace("<|assistant|>", "<|assistant|><think>\n")
    prompt = render_prompt(tokenizer, QUESTION, "<think>\n")
    assert prompt.text.count("<think>") == 1
    assert prompt.prefix == "<think>\n"
    assert render_prompt(tokenizer, QUESTION, "").prefix == "<think>\n", "the thinking is open whoever opened it"


def test_a_doubled_bos_is_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = "{{ bos_token }}" + PLAIN_TEMPLATE
    assert bos_count(tokenizer, render_prompt(tokenizer, QUESTION, "").token_ids) == 2


def test_a_base_model_gets_the_text_and_its_own_bos(tokenizer: PreTrainedTokenizerFast) -> None:
    prompt = render_prompt(tokenizer, QUESTION, "")
    assert prompt.text == "What is 1 + 1?\n"
    assert bos_count(tokenizer, prompt.token_ids) == 1


def test_a_template_that_refuses_is_one_sentence(tokenizer: PreTrainedTokenizerFast) -> None:
    tokenizer.chat_template = "{{ raise_exception('no system message') }}"
    with pytest.raises(EvalkitError, match="chat template failed: no system message"):
        render_prompt(tokenizer, QUESTION, "")


@pytest.mark.parametrize(
    ("text", "asked", "prefix"),
    [
        ("…<think>\n", "<think>\n", "<think>\n"),
        ("…<think>", "<think>\n", "<think>"),
        ("…<think>\n\n</think>\n\n", "", ""),
        ("…", "<think>\n", "<think>\n"),
        ("…", "", ""),
    ],
)
def test_what_counts_as_opened(text: str, asked: str, prefix: str) -> None:
    assert opened_prefix(text, asked) == prefix


@pytest.mark.real_data
def test_r1s_own_template(tokenizer: PreTrainedTokenizerFast, data_dir: Path) -> None:
    path = data_dir / "chat_templates" / "DeepSeek-R1-Distill-Qwen-32B.jinja"
    tokenizer.chat_template = path.read_text()
    prompt = render_prompt(tokenizer, QUESTION, "<think>\n")
    assert prompt.text == "<bos><｜User｜>What is 1 + 1?<｜Assistant｜><think>\n"
    assert prompt.prefix == "<think>\n"
    assert bos_count(tokenizer, prompt.token_ids) == 1
