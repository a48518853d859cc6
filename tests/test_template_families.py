"""A gallery of chat formats: what the model sees, whether thinking is open, how its response is taken apart.

`EVALKIT_TEMPLATES` names a folder with the families' own templates; they are other people's work and not kept here.
`python tests/test_template_families.py` writes the golden file anew: read it before it is committed.
"""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from template_families import FAMILIES, Family

from evalkit import EvalkitError, Message
from evalkit.engines.endings import find_endings
from evalkit.engines.prompts import PromptRenderer
from evalkit.engines.templates import TemplateSettings
from evalkit.thinking import split_thinking

GOLDEN = Path(__file__).parent / "golden" / "templates.json"
USER = Message(role="user", content="What is 1 + 1?")
SYSTEM = Message(role="system", content="Be brief.")
CONVERSATIONS: dict[str, list[Message]] = {"user": [USER], "system and user": [SYSTEM, USER]}
THOUGHT, ANSWER = "1 and 1 make", "The answer is 2."


def renderer(family: Family, variables: Any, template: str | None = None) -> PromptRenderer:
    tokenizer = SimpleNamespace(
        chat_template=template or family.template, bos_token=family.bos or None, eos_token=family.eos or None
    )
    return PromptRenderer(tokenizer, TemplateSettings(variables=dict(variables)))


def rendered(made: PromptRenderer, messages: list[Message], generate: bool = True) -> str:
    try:
        return made.text(messages, generate).text
    except EvalkitError as error:
        return f"error: {error.message}"


def described(family: Family) -> dict[str, Any]:
    """What the golden file holds of a family."""
    found: dict[str, Any] = {}
    for name, variables in family.cases().items():
        made = renderer(family, variables)
        case: dict[str, Any] = {title: rendered(made, messages) for title, messages in CONVERSATIONS.items()}
        opening = made_opening(made)
        case["opening"] = {"prefix": opening.prefix, "thinking": opening.thinking, "added": opening.added}
        if made.text([USER]).dated:
            case["dated"] = True
        opens = family.tags[0] if opening.thinking != "closed" else ""
        whole = f"{opens}{THOUGHT}{family.tags[1]}" if opens else ""
        responses = {"finished": whole + family.answer.format(ANSWER), "cut after": whole + ANSWER[:10]}
        if opens:
            responses["cut in thinking"] = f"{opens}{THOUGHT}"
        case["responses"] = {kind: split(text, opening.prefix) for kind, text in responses.items()}
        found[name] = case
    found["answered"] = rendered(renderer(family, {}), [USER, Message(role="assistant", content=ANSWER)], False)
    return found


def made_opening(made: PromptRenderer) -> Any:
    from evalkit.engines.prompts import decide_opening

    return decide_opening(made.text([USER]).text, "auto", made._is_r1)


def split(whole: str, prefix: str) -> dict[str, Any]:
    """A response as the model writes it behind `prefix`, taken apart."""
    written = whole.removeprefix(prefix) if whole.startswith(prefix) else whole.removeprefix(prefix.rstrip())
    parts = split_thinking(prefix + written)
    return {"written": written, "response": parts.response}


def test_the_golden_file_holds_every_family_and_no_other() -> None:
    assert list(json.loads(GOLDEN.read_text())) == [family.name for family in FAMILIES]
    assert len(FAMILIES) >= 25


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_is_rendered_and_taken_apart_as_the_golden_file_says(family: Family) -> None:
    assert described(family) == json.loads(GOLDEN.read_text())[family.name]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_response_of_the_gallery_is_taken_apart_rightly(family: Family) -> None:
    for name, case in described(family).items():
        if name == "answered":
            continue
        finished = case["responses"]["finished"]["response"]
        assert re.sub(r"</?answer>|\s+", " ", finished).strip() == ANSWER
        assert case["responses"]["cut after"]["response"].strip() == ANSWER[:10]
        if "cut in thinking" in case["responses"]:
            assert case["responses"]["cut in thinking"]["response"] is None


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_prefix_is_added_to_r1s_templates_alone(family: Family) -> None:
    added = [case["opening"]["added"] for name, case in described(family).items() if name != "answered"]
    assert any(added) == (family.name in ("DeepSeek-R1", "DeepSeek-R1-0528"))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_end_of_a_turn_is_an_end_token(family: Family) -> None:
    tokens = [*family.ends, "<unrelated>"]
    made = renderer(family, {})
    made.tokenizer = _ByText(family, tokens)
    assert not find_endings(made, [tokens.index(each) for each in family.ends]).fault
    wrong = find_endings(made, [tokens.index("<unrelated>")])
    behind = (wrong.turn_end or "").strip()
    assert bool(wrong.fault or wrong.doubt) == any(end in behind for end in family.ends)
    if not family.name.startswith("GLM"):  # their responses end with the header of the next question
        assert not wrong.doubt


class _ByText:
    """A tokenizer whose only tokens are the ends of a family; the rest of a text is one token."""

    def __init__(self, family: Family, tokens: list[str]) -> None:
        self.chat_template, self.bos_token, self.eos_token = family.template, family.bos or None, family.eos or None
        self._tokens = tokens
        self.added_tokens_decoder = dict(enumerate(tokens))

    def decode(self, ids: list[int]) -> str:
        return "".join(self._tokens[i] for i in ids)

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        pieces = re.split("(" + "|".join(map(re.escape, self._tokens)) + ")", text)
        return {"input_ids": [self._tokens.index(p) if p in self._tokens else 1000 for p in pieces if p]}


def own_templates() -> list[tuple[Family, Path]]:
    folder = os.environ.get("EVALKIT_TEMPLATES") or os.environ.get("EVALKIT_DATA", "") + "/chat_templates"
    return [(f, path) for f in FAMILIES for name in f.real if (path := Path(folder) / name).is_file()]


@pytest.mark.real_data
@pytest.mark.parametrize(("family", "path"), own_templates(), ids=lambda each: getattr(each, "name", None))
def test_the_short_template_makes_the_prompt_of_the_familys_own(family: Family, path: Path) -> None:
    own = path.read_text(encoding="utf-8")
    for name, variables in family.cases().items():
        for title, messages in CONVERSATIONS.items():
            ours = rendered(renderer(family, variables), messages)
            theirs = rendered(renderer(family, variables, own), messages)
            if family.own_system and (title == "user" or family.preamble):
                ours, theirs = (without_default(text) for text in (ours, theirs))
            if path.name.startswith("vl-"):  # vLLM's examples are indented
                ours, theirs = (re.sub(r"\s+", "", text) for text in (ours, theirs))
            assert ours == theirs, f"{name}, {title}"


def without_default(text: str) -> str:
    """A prompt from the last end of the system prompt on: its template's own words are left out."""
    before, _, after = text.partition(USER["content"])
    ends = re.findall(r"<[^<>]*>|\[[^\[\]]*\]|\][~!][^\[]*\[|\[e~\[", before)
    return "".join(ends[-1:]) + before[len(before.rstrip()) :] + after


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({f.name: described(f) for f in FAMILIES}, indent=1, ensure_ascii=False) + "\n")
