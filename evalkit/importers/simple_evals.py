"""OpenAI's simple-evals: <eval>_<model>_<time>_allresults.json, or the .html report alone."""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

from evalkit.importers.common import content_parts, digest, joined_prompt, period
from evalkit.importers.files import LogFile
from evalkit.importers.nodes import Node, unreadable
from evalkit.importers.reader import Log, LogPart, Reader
from evalkit.importers.record import ImportedSample, LogFacts, PeerVerdict

_NAME = re.compile(
    r"""(?P<eval>[a-z0-9]+?)_(?P<model>.+?)(?:_\d{8}_\d{6})?  # math_o4-mini_20260102_030405
        (?:_allresults)?\.(?:json|html)""",
    re.VERBOSE,
)
_FACT = re.compile(r"<p>(Correct Answer|Extracted Answer|Score): (.*?)</p>", re.DOTALL)
_MESSAGE = re.compile(
    r"""<div\ class="message\ (?P<role>\w+)">.*?    # one message of the conversation
        <pre>(?P<text>.*?)</pre>""",
    re.DOTALL | re.VERBOSE,
)
_SECTION = "<h3>Prompt conversation</h3>"
_REFUSED = "No response (bad request)."
_CHOICE = re.compile(r"^\(?([A-J])\) (.*)$", re.MULTILINE)
_LARGEST_REPORT = 1 << 30


@dataclass(frozen=True, slots=True)
class _Told:
    """What the report says of one sample."""

    gold: str | None
    answer: str | None
    score: float | None


class SimpleEvals(Reader):
    name = "simple_evals"
    title = "simple-evals"

    def recognise(self, file: LogFile) -> LogPart | None:
        start = file.text_start or ""
        is_report = start.lstrip()[:9].lower() == "<!doctype" and _SECTION in start and "<p>Correct Answer: " in start
        whole = file.stem.removesuffix(".html") + "_allresults.json"
        if is_report and file.beside(whole) is not None:
            return LogPart(file, "", refusal=f"its samples are in {whole} beside it: give that file", companion=True)
        if not is_report and not (file.first.has("score", "metrics", "htmls") and not file.is_lines):
            return None
        named = _NAME.fullmatch(file.stem)
        return LogPart(file, named["eval"] if named else file.stem, file.folder, file.name)

    def facts(self, log: Log) -> LogFacts:
        named = _NAME.fullmatch(log.files[0].stem)
        return LogFacts(named["model"] if named else None)

    def samples(self, log: Log) -> Iterator[ImportedSample]:
        file = log.files[0]
        if file.first.value is None:
            yield from _of_report(file)
            return
        told: list[_Told] = []
        keys: list[bytes] = []
        for name, value in file.members("htmls", "convos"):
            if name == "htmls":
                told.append(_facts(value.text()))
            elif name == "convos":
                keys.append(digest(_stem(_asked(value.items()))))
        if len(told) != len(keys):
            raise unreadable(file.where, f"it has {len(told)} reports for {len(keys)} conversations")
        size = period(keys, file.where)
        number = 0
        for name, value in file.members("htmls", "convos"):
            if name != "convos":
                continue
            messages = value.items()
            if messages[-1]["role"].value != "assistant":
                raise unreadable(value.where, "its conversation does not end with the model's message")
            yield _sample(_asked(messages), content_parts(messages[-1])[0], told[number], *divmod(number, size))
            number += 1


def _asked(messages: list[Node]) -> str:
    if len(messages) < 2:
        raise unreadable(messages[0].where if messages else "a conversation", "it has no question and answer")
    return joined_prompt(Node([m.value for m in messages[:-1]], messages[0].where)) or ""


def _stem(prompt: str) -> str:
    """A question without its choices, which are permuted anew each time it is asked."""
    return prompt.partition("\nA) ")[0]


def _facts(report: str) -> _Told:
    found = {name: html.unescape(value) for name, value in _FACT.findall(report)}
    answer, gold = found.get("Extracted Answer"), found.get("Correct Answer")
    try:
        score = float(found["Score"])
    except (KeyError, ValueError):
        score = -1.0
    told = None if answer in (None, "None") else answer
    return _Told(gold, told, score if 0 <= score <= 1 else None)


def _sample(prompt: str, text: str, told: _Told, index: int, position: int) -> ImportedSample:
    """One sample of the set, which is asked n times end to end."""
    shown = _CHOICE.findall(prompt)
    lettered = [letter for letter, _ in shown] == list("ABCDEFGHIJ"[: len(shown)])
    refused = text == _REFUSED
    return ImportedSample(
        str(position),
        index,
        "" if refused else text,
        position=position,
        prompt=prompt,
        gold=told.gold,
        choices=tuple(choice for _, choice in shown) if lettered and len(shown) > 1 else (),
        answer=told.answer,
        verdicts=() if told.score is None else (PeerVerdict("score", told.score, "sample", told.answer),),
        error="the server refused the request" if refused else None,
    )


def _of_report(file: LogFile) -> Iterator[ImportedSample]:
    """The report alone: its conversations are escaped, and all that it shows is in it."""
    with file.open() as stream:
        data = stream.read(_LARGEST_REPORT + 1)
    if len(data) > _LARGEST_REPORT:
        raise unreadable(file.where, "it is larger than 1 GiB")
    sections = data.decode("utf-8", "strict").split(_SECTION)[1:]
    if not sections or "</html>" not in sections[-1]:
        raise unreadable(file.where, "the report is cut")
    parsed: list[tuple[str, str, _Told]] = []
    for number, section in enumerate(sections, start=1):
        messages = [html.unescape(m["text"]) for m in _MESSAGE.finditer(section)]
        if len(messages) < 2 or "<p>Score: " not in section:
            raise unreadable(f"report {number} of {file.where}", "it has no question, answer and score")
        parsed.append(("\n\n".join(messages[:-1]), messages[-1], _facts(section)))
    size = period([digest(_stem(prompt)) for prompt, _, _ in parsed], file.where)
    for number, (prompt, text, told) in enumerate(parsed):
        yield _sample(prompt, text, told, *divmod(number, size))
