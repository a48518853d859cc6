"""Thinking tags and the ends of turns of every family; what a template opened or closed."""

from pathlib import Path

import pytest
from helpers import assert_growth

from evalkit.engines.openai.replies import response_text
from evalkit.engines.prompts import decide_opening
from evalkit.grading import grade_choice, grade_math
from evalkit.thinking import (
    END_OF_TURN,
    TAGS,
    Tag,
    closing_of,
    opened_thinking,
    split_thinking,
    unknown_opening,
    until_end_of_turn,
)

DOCS = Path(__file__).parents[1] / "docs" / "thinking.md"


def written(part: str) -> str:
    """A tag as a model writes it: a name in place of `*`, gpt-oss's constraint in place of `…`."""
    return part.replace("*", "seed").replace("…", " <|constrain|>json")


def opened(tag: Tag) -> str:
    return "analysisWe " if tag.opening == "analysis" else written(tag.opening) + "\n"


@pytest.mark.parametrize("tag", TAGS, ids=lambda tag: tag.opening)
class TestEveryTag:
    def test_what_is_tried_out_is_no_answer(self, tag: Tag) -> None:
        text = f"{opened(tag)}maybe \\boxed{{1}}{written(tag.closing)}\nThe answer is 2."
        assert grade_math(text, "2").status == "correct"
        assert grade_math(text, "1").status == "wrong"
        assert grade_choice(text.replace("2.", "B."), "B", ["", ""]).answer == "B"

    def test_cut_thinking_is_no_answer(self, tag: Tag) -> None:
        text = f"{opened(tag)}maybe \\boxed{{1}}. The answer is 1. But"
        assert split_thinking(text).response is None
        assert grade_math(text, "1").status == "no_answer"

    def test_a_template_that_opened_it_is_seen(self, tag: Tag) -> None:
        if tag.opening == "analysis":
            assert opened_thinking("an analysis") is None, "gpt-oss's template writes the special tokens"
            return
        for space in ("", "\n"):
            prompt = f"<|assistant|>{written(tag.opening)}{space}"
            assert opened_thinking(prompt) == written(tag.opening) + space
            opening = decide_opening(prompt, "<think>\n", lambda _: True)
            assert opening.prefix == written(tag.opening) + space, "no second opening"

    def test_a_template_that_closed_it_is_left_alone(self, tag: Tag) -> None:
        prompt = f"<|assistant|>{opened(tag)}{written(tag.closing)}\n\n"
        assert opened_thinking(prompt) == ""
        assert decide_opening(prompt, "<think>\n", lambda _: True).prefix == ""

    def test_docs_name_it(self, tag: Tag) -> None:
        row = f"|`{tag.opening}`|`{tag.closing}`|{tag.families}|{tag.source}|".replace("<ifm|", "<ifm\\|")
        assert row.replace("|>", "\\|>").replace("<|", "<\\|") in DOCS.read_text(encoding="utf-8")

    def test_thinking_that_a_server_took_out_is_joined_with_its_tag(self, tag: Tag) -> None:
        prefix = opened(tag)
        text, kept = response_text({"message": {"content": "The answer is 2.", "reasoning": "maybe 1"}}, prefix)
        assert kept == prefix
        assert text is not None
        assert split_thinking(prefix + text).response in ("\n\nThe answer is 2.", "The answer is 2.")


def test_an_answer_that_the_template_opens_leaves_thinking_closed() -> None:
    closed = "<|open|>think<|sep|><|close|>think<|sep|>"
    assert opened_thinking(f"<|assistant|>{closed}<|open|>response<|sep|>") == ""
    assert opened_thinking("<|CHATBOT_TOKEN|><|START_THINKING|><|END_THINKING|><|START_RESPONSE|>") == ""
    assert opened_thinking("<|CHATBOT_TOKEN|><|START_RESPONSE|>") is None


@pytest.mark.parametrize("token", END_OF_TURN)
def test_the_end_of_a_turn_is_no_part_of_the_answer(token: str) -> None:
    assert until_end_of_turn(f"17{token}") == "17"
    assert grade_math(f"The answer is 17{token}", "17").status == "correct"
    assert grade_math(f"<think>a</think>\\boxed{{17}}{token}\nThe answer is 18.", "17").status == "correct"
    assert grade_choice(f"<think>a</think>\n\n**B**{token}", "B", ["", ""]).answer == "B"
    assert until_end_of_turn(f"{token}\n17") == f"{token}\n17", "what stands at the start ends nothing"


@pytest.mark.parametrize(
    ("text", "response"),
    [
        # gpt-oss with and without its special tokens
        ("analysisWe need 13.assistantfinalThe answer is **13**.", "The answer is **13**."),
        ('analysisWe add.assistantfinal json{"answer": 2}', '{"answer": 2}'),
        ("analysis of the data shows 5", "analysis of the data shows 5"),
        ("Analysis: we add. The answer is 5.", "Analysis: we add. The answer is 5."),
        ("<|channel|>final <|constrain|>JSON<|message|>2<|return|>", "2<|return|>"),
        (
            "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary to=f <|constrain|>json"
            "<|message|>{}<|call|>",
            None,
        ),
        ("We add<|end|><|start|>assistant<|channel|>final<|message|>2", "2"),
        # Solar, Kimi K3, Command A, ERNIE, HyperCLOVA X: what stands around the answer
        ("<|think|>a<|end|><|begin|>assistant<|content|>2<|end|>", "2"),
        ("<|open|>think<|sep|>a<|close|>think<|sep|><|open|>response<|sep|>2<|close|>response<|sep|>", "2"),
        ("a<|END_THINKING|><|START_TEXT|>2<|END_TEXT|>", "2"),
        ("<think>\na\n</think>\n\n<response>\n2\n</response>", "\n2\n"),
        ("<THINK>a</THINK>2", "2"),
        # tags that are talked about
        ("```\n<think>\n```\nIt is 2", "```\n<think>\n```\nIt is 2"),
        ("Use `<think>` and `</think>` for 2", "Use `<think>` and `</think>` for 2"),
        ("Write `x <think> y` for 2", "Write `x <think> y` for 2"),
        ('```python\nt = s.split("</think>")[-1]\n```', '```python\nt = s.split("</think>")[-1]\n```'),
        ("~~~xml\n<thought>\n</thought>\n~~~\n2", "~~~xml\n<thought>\n</thought>\n~~~\n2"),
        ("<think>a</think>```\n<think>\n```", "```\n<think>\n```"),
        # blocks of code in thinking are often not closed
        ("<think>\n```python\na = 1\n</think>\n```python\nb\n```", "\n```python\nb\n```"),
        ("```python\na = 1\n</think>\n```python\nb\n```", "\n```python\nb\n```"),
        ("<think>he said 'x'</think>2", "2"),
        # an invented next turn thinks again
        ("<think>a</think>2<|im_end|>\n<|im_start|>user\n?<|im_end|>\n<think>b</think>3", None),
        ("It is 2.<|eot_id|><think>b</think>3", "It is 2.<|eot_id|><think>b</think>3"),
        # everyday words
        ("So: Here is my response: 2", "So: Here is my response: 2"),
        ("We get 2. Here is my thought process: a", "We get 2. Here is my thought process: a"),
    ],
)
def test_split(text: str, response: str | None) -> None:
    found = split_thinking(text).response
    if text.startswith("<think>a</think>2<|im_end|>"):
        assert found is not None
        assert until_end_of_turn(found) == "2"
    else:
        assert found == response
    if found is not None:
        assert split_thinking(found).response == found, "splitting again changes nothing"


def test_a_struck_through_text_ends_no_turn() -> None:
    assert until_end_of_turn("It is <s>4</s> 5.") == "It is <s>4</s> 5."
    assert until_end_of_turn("It is 5.</s>4") == "It is 5."


def test_the_closing_tag_of_a_prefix() -> None:
    assert closing_of("<seed:think>\n") == (True, "</seed:think>")
    assert closing_of("[THINK]") == (True, "[/THINK]")
    assert closing_of("<ifm|think_fast>\n") == (True, "</ifm|think_fast>")
    assert closing_of("<|channel|>analysis<|message|>") == (True, "<|channel|>final<|message|>")
    assert closing_of("") == closing_of("Sure, ") == (False, "</think>")


def test_an_opening_that_nobody_knows_is_told() -> None:
    assert unknown_opening(["<ponder>a", "<ponder>\nb", "c", "<ponder>d"]) == "<ponder>"
    assert unknown_opening(["<|deliberate|>\na"] * 3) == "<|deliberate|>"
    assert unknown_opening(["[REASON]a"] * 3) == "[REASON]"
    assert unknown_opening(["<|channel>reflect\na"] * 3) == "<|channel>reflect"
    assert unknown_opening(["<ponder>a", "b", "c", "<ponder>d"]) is None, "half of them are not most"
    assert unknown_opening(["<ponder>a", "<ponder>b"]) is None, "too few"
    assert unknown_opening([]) is None
    for known in ("<think>a", "[THINK]a", "<answer>5", "<|begin_of_box|>5", "[1] 5", "<p>5", "<|im_end|>", "```\na"):
        assert unknown_opening([known] * 5) is None, known
    assert unknown_opening(["<|START_TEXT|>5"] * 5) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["<", "<think>", "</think>", "```\n", "`", "<|im_end|>", "</s>", "'", "analysis", "\n"]
)
def test_a_megabyte_of_anything_is_linear(piece: str) -> None:
    def split(length: int) -> None:
        text = piece * (length // len(piece))
        split_thinking(text)
        until_end_of_turn(text)
        unknown_opening([text] * 3)

    assert_growth(lambda: split(250_000), lambda: split(1_000_000), below=11)  # 4 where linear, 16 where quadratic
