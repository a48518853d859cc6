"""Read the letter that a response to a multiple-choice question settles on."""

import re
import unicodedata
from collections.abc import Sequence

from evalkit.grading.extract import box_contents
from evalkit.grading.statement import ANSWER_WORDS, IS_WORDS, RATHER, RIGHT_WORDS
from evalkit.grading.thinking import split_thinking
from evalkit.types import Score

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TRIES = 100  # of the last cues
_TAIL = 20_000  # characters
# Cyrillic and Greek look-alikes, and the letters that Arabic and Bengali options carry in MMMLU
_LOOKALIKES = {
    **dict(zip("АВСЕНІЈ", "ABCEHIJ", strict=True)),
    **dict(zip("ΑΒΕΗΙ", "ABEHI", strict=True)),
    **dict(zip("أبجدهو", "ABCDEF", strict=True)),
    **dict(zip("অবডঢ", "ABCD", strict=True)),
    **dict(zip("কখগঘ", "ABCD", strict=True)),
    **dict(zip("กขคง", "ABCD", strict=True)),
}
_ENCLOSED = {first + i: letter for first in (0x1F150, 0x1F170) for i, letter in enumerate(_LETTERS)}  # 🅐 and 🅰
_STANDALONE = re.compile(rf"(?<!\w)([{''.join(_LOOKALIKES)}])(?![\w\u0e30-\u0e4e])")
_WRAPPED = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf|mbox|textit|boldsymbol|operatorname|textnormal|mathsf|texttt)\s*\{([^{}]{0,300})\}"
)
_MARKUP = re.compile(
    r"\*+|(?<!\w)_+|_+(?!\w)|`+|\$+|\\[()\[\]]|\\(?:,|;|!|:|quad|qquad|left|right|displaystyle)|#+(?=\s)|~~"
)
_ELEMENT = re.compile(
    r"<(answer|final_answer)>(.{0,2000}?)</\1>|[\"'](?:final_)?answer[\"']\s*:\s*[\"']([^\"']{1,300})[\"']",
    re.DOTALL | re.IGNORECASE,
)
_IS = rf"(?:(?:{IS_WORDS})(?![a-zA-Z])|是|为|為|は|은|는)"
_ANSWER = unicodedata.normalize("NFKC", ANSWER_WORDS)  # as the text it is looked for in
_CUE = re.compile(
    rf"(?<![^\W_])(?:(?:final|correct|best|right|my)\s{{1,3}}){{0,3}}(?:{_ANSWER}|choice|option|letter|选项|選項"
    rf"|opción|opção|alternativa|вариант)"
    rf"(?:\s+(?:choice|option|letter|correct|{RIGHT_WORDS}))?(?![a-zà-ž])(?:\s+to\s[^.\n:]{{1,80}}?(?=\s{_IS}|:))?"
    rf"(?:\s*(?:must|should|would|will|has to|to|definitely|therefore|clearly|thus|hence|here|most likely)\b){{0,4}}"
    rf"(?:(?<=[Aa]ns)\.)?\s*(?P<mark>{_IS}|[:：=>】]|–|—|-(?=\s))?\s*[:：]?[\"'“”]?\s*"
    rf"(?:(?:definitely|clearly|certainly|therefore|thus|hence|most|very|almost|probably|indeed|actually|simply"
    rf"|likely|option|choice|letter|answer|number|la|el|il|die|der|den|de|het|(?:a )?letra|lettera|lettre|Buchstabe"
    rf"|буква|phương án|câu"
    rf")\b[\s:]{{0,3}}){{0,4}}",
    re.IGNORECASE,
)
_NEGATED = re.compile(
    r"(?:\b(?:not|isn['’]?t|cannot be|can['’]?t be|neither|nor|eliminate[sd]?|rules? out|ruled out|reject(?:s"
    r"|ed)?|instead of|rather than|"
    r"unlike|exclude[sd]?|why|against|non|nicht|pas|no es|не|might be|could be|may be|maybe|perhaps)|不是|非|排除|不选)"
    r"[^\w\n.]*(?:be|just|simply|the|an?|answer|options?|choices?|is|:)?[^\w\n.]*(?:options?|choices?)?[^\w\n.]*$",
    re.IGNORECASE,
)
_REJECTED = re.compile(
    r"^[)\]:, \t]*(?:(?:and|or|[,/&])\s*\(?(?-i:[A-Z])(?!\w)\)?\s*|(?!because|since|as\b|while|but|so|is\b"
    r"|are\b|was\b)[^\W_]+[^\w\n.!?;]{1,2}){0,5}(?:is|are|seems?|looks?|would be|was"
    r"|can be)\s+(?:\w+\s+)?(?:wrong|incorrect|false|not\b|out\b|eliminated|ruled out|"
    r"rejected|excluded|impossible|implausible)|^[)\]]*\s*(?:不对|错误|不正确"
    r"|is n[o']t|isn['’]?t|(?:can['’]?t|cannot) be)",
    re.IGNORECASE,
)
_AFFIRMED = re.compile(
    r"^[)\].:]*\s*(?:is|are|est|es|ist|为|是|seems|must be|looks)?\s*"
    r"(?:(?!only|part|not|as\b|nearly|almost|never)\w+\s+){0,3}?(?:the\s+)?(?:correct"
    r"|right|best|better|true\b|answer|most\s\w+|正确)"
    r"|^[)\]]*\s+(?:it is|(?:remains|survives|is left|works|fits))\W*(?:$|\n)",
    re.IGNORECASE,
)
# an option's own line with what it is found to be: "B. green – correct", "| B | ✓ |", "✅ B"
_RIGHT_MARKS, _WRONG_MARKS = "✓✔✅☑", "✗✘❌☒"
_OPTION_LINE = re.compile(
    rf"^[\s>|•*–-]{{0,9}}(?P<mark>[{_RIGHT_MARKS}{_WRONG_MARKS}])?[\s:]{{0,3}}(?:(?:option|statement|choice)\s)?"
    r"[(\[]?(?P<letter>(?-i:[A-Z]))(?![\w'’])(?P<rest>.{0,400})$",
    re.MULTILINE | re.IGNORECASE,
)
_FOUND_TO_BE = re.compile(
    r"(?:^[)\]\s.:|–—→=>-]*|(?:[-–—:|(\[→⇒]|[-=]>|[.,!]\s)\s*)(?:(?:so|this is|that['’]s|is|therefore)\s+){0,2}"
    r"(?:(?P<wrong>incorrect|wrong|false|not correct|not true|no|untrue|×)|correct|right|true|yes)[^\w\n]*$",
    re.IGNORECASE,
)
_HEAD_LINE = re.compile(r"\s*[(\[]?([A-Z])[)\]]?\.?\s*\n")
_LEADS = re.compile(
    r"(?:\b(?:(?:chang|switch|revis|updat)\w+(?: my| the)?(?: final)?(?: answer| choice)? to|(?:would|['’]d|to) say"
    r"|lean\w* to(?:wards?)?|likely|best guess|options?|choices?|letter|ist|est|es|jest|adalah|là|é|è|"
    r"choose|chose|select(?:ed)?|pick(?:ed)?|go(?:ing)? with|it['’]s|it is"
    r"|that['’]s|rather|therefore,?|thus,?|so,?|hence,?|"
    r"answer|opt for|only|definitely|clearly,?|obviously,?|surely|"
    r"is|be|conclude|get|actually|namely|leaving|leaves|left with|remaining"
    r"|not \(?[A-Z]\)?,? but|opción|opção|choisis|wähle|выбираю)|选项?|选择|選|为|是|[:：→⇒∴]|=>|->)[\s:(\[\"“]*$",
    re.IGNORECASE,
)
# what takes an answer back, where a sentence or a clause starts
_CORRECTED = re.compile(
    r"(?:(?<=[.!?…—\n])|(?<=[.…—,;-]\s)|(?<=[!?]\s)|(?<=\n))\s*[(\[—-]?\s*(?:(?:but|oh|hmm+|no|oops|sorry|and|so)\b[,.…]*\s*){0,3}"
    r"(?:wait|hold on|hmm+|oops|correction|scratch that|on second thought|actually|let me (?:re|double)|i (?:mis\w+"
    r"|made a|was wrong|take that back|chang\w+|need to correct)|no,|that['’]s (?:wrong|not right))",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"(?:[+⇌]|(?<!\w)[A-Z]\s*(?:→|->|⟶|\\to|\\rightarrow))\s*$")  # C + D, A → B
_MORE = re.compile(
    r"^[)\].\"'”]*\s*(?:[,/&+;]|,?\s*(?:and|or|и|et|und|y|或|和|、))\s*[(\[]?([A-Z])[)\]]?(?!\w)(?!['’])"
)


def grade_choice(response: str, gold: str, choices: Sequence[str]) -> Score:
    """Grade a multiple-choice response: value 1 where the letter it settles on is `gold` ("A" for the first choice).

    `choices` are the options' texts in the order shown; empty texts (or the bare letters) mean that only letters are
    read. `answer` is the letter; status "no_answer" where none, or more than one, is given.
    """
    text = split_thinking(response).response
    if text is None:
        return Score(0.0, "no_answer", None, "the thinking block was never closed, so nothing was answered", "")
    letter, rule, quote = read_letter(text, choices)
    if letter is None:
        return Score(0.0, "no_answer", None, rule or "no letter is stated as the answer", "")
    right = letter == _plain(gold).strip("() .").upper()
    explanation = f"{rule}: read {letter} from {quote[:120]!r}; the right letter is {gold}"
    return Score(float(right), "correct" if right else "wrong", letter, explanation, rule)


def read_letter(text: str, choices: Sequence[str]) -> tuple[str | None, str, str]:
    """(letter or None, the rule that read it or why none was read, the words it was read from)."""
    letters = _LETTERS[: max(len(choices), 1)]
    options = _option_texts(choices)
    raw = text[-_TAIL:]
    found: list[tuple[int, str, str, str]] = []  # position, letter, rule, quote
    for start, _, content in box_contents(raw)[-3:]:
        letter = _stated(_plain(content), letters, options, whole=True)
        if letter:
            found.append((start, letter, "box", content))
    for match in _ELEMENT.finditer(raw):
        content = match[2] or match[3] or ""
        letter = _stated(_plain(content), letters, options, whole=True)
        if letter:
            found.append((match.start(), letter, "answer element", content))
    ambiguous = False
    plain = _plain(raw)
    shift = len(raw) / max(len(plain), 1)  # positions in the plain text stand for those in the raw one
    for match in list(_CUE.finditer(plain))[-_TRIES:]:
        after = plain[match.end() : match.end() + 400]
        explicit = match["mark"] is not None
        if _NEGATED.search(plain[max(0, match.start() - 40) : match.start()]):
            continue
        letter = _head(after, letters)
        if letter == "?":
            ambiguous = True
            continue
        if letter is None and explicit:
            piece = re.split(r"\n\s*\n|\n(?=\S{1,20}:)", after.strip())[0]
            letter = _stated(RATHER.split(piece)[0], letters, options)
        if letter is not None and not _REJECTED.search(_after_letter(after)):
            found.append(
                (int(match.start() * shift), letter, "answer" if explicit else "option", match[0] + after[:40])
            )
    strong = [item for item in found if item[2] != "option"]
    if strong:
        last = max(strong, key=lambda item: item[0])
        tail = plain[int(last[0] / shift) :]
        corrected = _CORRECTED.search(tail)
        if corrected:
            again = tail[corrected.end() :]
            bare = re.match(r"[\s,]*[(\[]?([A-Z])[)\]]?\s*(?:[.!]|\Z|\n)", again)
            letter, quote = _weak(again, letters, least=2)
            if bare and bare[1] in letters and not letter:
                letter, quote = bare[1], bare[0].strip()
            if letter:
                return letter, "correction", quote
        return last[1:]
    if ambiguous and not found:
        return None, "more than one letter is stated", ""
    letter, quote = _weak(plain, letters)
    if letter:
        return letter, "conclusion", quote
    if quote:
        return None, quote, ""
    if found:
        return found[-1][1:]
    line = plain.strip().rsplit("\n", 1)[-1]
    by_text = _by_exact_text(line, options) or _by_text(line, options)
    return (by_text, "option text", line) if by_text else (None, "", "")


def _plain(text: str) -> str:
    """Without markup, look-alike letters replaced."""
    text = unicodedata.normalize("NFKC", text.translate(_ENCLOSED))
    for _ in range(3):
        text = _WRAPPED.sub(r"\1", text)
    text = re.sub(r"\\(?:boxed|fbox|framebox)\s*\{([^{}]{0,300})\}", r" \1 ", text)
    text = _MARKUP.sub("", re.sub(r"~~[^~\n]{1,100}~~", "", text))
    return _STANDALONE.sub(lambda match: _LOOKALIKES[match[1]], text)


def _option_texts(choices: Sequence[str]) -> dict[str, str]:
    """Letter -> option text without markup; options without a text of their own are left out."""
    texts = {_LETTERS[i]: _plain(choice) for i, choice in enumerate(choices[:26])}
    return {letter: text for letter, text in texts.items() if _squash(text) not in ("", letter.lower())}


def _loose(text: str) -> str:
    """Words and numbers with single spaces between them."""
    return " ".join(re.findall(r"\w+", re.sub(r"\\[a-z]+", " ", text.casefold())))


def _squash(text: str) -> str:
    text = re.sub(r"\\(?:d|t)?frac", "frac", _plain(text).casefold())
    text = re.sub(r"\\(?:times|cdot)", "x", text)
    return re.sub(r"[^\w.+\-/=<>%,°()^]|[\\{}]", "", text).strip(".,").replace("^", "")


def _head(after: str, letters: str) -> str | None:
    """The letter at the very start of what follows a cue; "?" where two are given there."""
    text = after.lstrip(" \t\n\"'“”‘’({[<:")
    if not text or text[0].upper() not in letters:
        return None
    rest = text[1:]
    if rest[:1] and (
        (rest[0].isalnum() and rest[0].isascii())
        or rest[0] in "_^"
        or (rest[0] in "'’" and rest[1:2].isalpha() and not re.match(r"['’][dt][iı]r\b", rest))
        or (rest[0] == "-" and rest[1:2].isalnum())
    ):
        return None
    letter = text[0].upper()
    if text[0].islower() and not re.match(r"[)\].,:;!?\"'”]|\s*$|\s*\n", rest):
        return None
    if (
        text[0] in "AI"
        and re.match(r"\s+[a-z]", rest)
        and not re.match(
            r"\s+(?:because|since|as|is|was|for|and|or|but|not|non|by|due|given|with|which|from|rather|instead|nicht"
            r"|car|porque)\b",
            rest,
        )
    ):
        return None
    more = _MORE.match(rest)
    if more and more[1] in letters and more[1] != letter:
        return "?"
    return letter


def _after_letter(after: str) -> str:
    return after.lstrip(" \t\n\"'“”‘’({[<:")[1:60]


def _stated(text: str, letters: str, options: dict[str, str], *, whole: bool = False) -> str | None:
    """The letter that the content of a box, or what follows "Answer:", states; by its option's text too."""
    text = text.strip()
    letter = _head(text, letters)
    if letter and letter != "?" and (not whole or len(text) < 3 or not re.match(r"\w*\s*[=+*/^<>]", text[1:])):
        return letter
    if letter == "?":
        return None
    cue = _CUE.search(text)
    if cue:
        letter = _head(text[cue.end() :], letters)
        if letter and letter != "?":
            return letter
    if exact := _by_exact_text(text, options):
        return exact
    if not whole:
        letter = _weak(text, letters)[0]
        if letter:
            return letter
    return _by_text(_plain(text), options)


def _weak(text: str, letters: str, least: int = 1) -> tuple[str | None, str]:
    """The letter that is named as a choice, and the words that do; without one, None and why, where that is known."""
    right: dict[str, str] = {}
    end, rest = 0, text
    for match in _OPTION_LINE.finditer(text):
        verdict = _verdict(match)
        if verdict is None or match["letter"] not in letters:
            continue
        right.pop(match["letter"], None)
        if verdict:
            right[match["letter"]] = match[0].strip()
        end = match.end()
        rest = rest[: match.start()] + " " * len(match[0]) + rest[end:]
    if not end:
        return _named(text, letters, least)
    concluded = _named(text[end:], letters, 2)
    if concluded[0]:
        return concluded
    if len(right) > 1:
        return None, "more than one option is found to be right"
    return next(iter(right.items())) if right else _named(rest, letters, least)


def _verdict(line: re.Match[str]) -> bool | None:
    """Whether an option's line says that the option is right; None where it says nothing of the kind."""
    marks = {
        mark in _RIGHT_MARKS for mark in (line["mark"] or "") + line["rest"] if mark in _RIGHT_MARKS + _WRONG_MARKS
    }
    if len(marks) == 1:
        return marks.pop()
    found = _FOUND_TO_BE.search(line["rest"])
    return found["wrong"] is None if found else None


def _named(text: str, letters: str, least: int) -> tuple[str | None, str]:
    """The last letter that is named as a choice, with at least that weight, and not to be rejected."""
    best: tuple[int, int, str, str] | None = None  # weight, position
    bare = re.fullmatch(r"[^\w?]*([A-Za-z])(?: only)?[^\w?]*", text)
    if bare and bare[1].upper() in letters:
        return bare[1].upper(), bare[0]
    for match in re.finditer(
        rf"(?<![A-Za-z0-9_'’\\^])([{letters}])(?![A-Za-z0-9_'’^]|-\w|\s*[=*^]\s*\d|\s*[+⇌])", text
    ):
        before, after = text[max(0, match.start() - 60) : match.start()], text[match.end() : match.end() + 80]
        if (
            match[1] in "AI"
            and re.match(r"\s+[a-z]", after)
            and not re.match(r"\s+(?:it is|is|because|since|seems|must|non|not)\b", after)
        ):
            continue
        if _FORMULA.search(before):
            continue
        opened = re.search(r"(?<![\w\])])[(\[]$", before) is not None  # not the concentrations of k[A][B]
        if _NEGATED.search(before.rstrip("([")) or _REJECTED.search(after):
            continue
        line = before.rsplit("\n", 1)[-1].strip("([{< >-|\"'“")
        alone = not line and re.match(r"[)\]}>\"'”]*[.!。]?\s*(?:\n|$)", after)
        alone = alone or (re.search(r"[.!?]\s+\(?$", before) and re.match(r"\)?[.!]?\s*\Z", after))
        starts: object = not line and re.match(r"[)\]]|[.:,。、]|[\u2e80-\uffff]", after)
        leads = _LEADS.search(before.rstrip("([ ") + " ") is not None
        starts = starts or (before.rstrip()[-1:] in (",", ";") and re.match(r"[):]\s", after) is not None)
        affirmed = _AFFIRMED.search(after) is not None
        weight = 3 if affirmed or alone else 2 if leads or starts else 1 if opened and after[:1] in (")", "]") else 0
        listed = re.search(rf"(?<![A-Za-z])[{letters}][)\]]?\s*(?:[,/&]|,?\s*(?:and|or))\s*[(\[]?$", before)
        more = _MORE.match(after)
        if (not affirmed or re.match(r"[)\]]?\s*are\b", after)) and (listed or (more and more[1] in letters)):
            weight = 0  # one of a list of letters is no choice
        if re.match(r"\s*\?", after.lstrip(")]")):
            weight = 0
        if weight >= least and (best is None or (weight >= 2) >= (best[0] >= 2)):
            best = (weight, match.start(), match[1], text[max(0, match.start() - 30) : match.end() + 30].strip())
    if (head := _HEAD_LINE.match(text)) and head[1] in letters and (best is None or best[0] < 3):
        return head[1], head[0].strip()
    if best is None:
        return None, ""
    mentioned = set(re.findall(rf"(?<![\w'’])[(\[]([{letters}])[)\]]", text))
    if best[0] == 1 and len(mentioned) > 1:
        return None, ""
    return best[2], best[3]


def _by_exact_text(text: str, options: dict[str, str]) -> str | None:
    exact = [letter for letter, option in options.items() if _squash(option) == _squash(text)]
    return exact[0] if len(exact) == 1 else None


def _by_text(text: str, options: dict[str, str]) -> str | None:
    """The one option whose text stands in `text`; one that is part of a longer one there does not count."""
    stated = f" {_loose(text)} "
    inside = {letter: f" {_loose(option)} " for letter, option in options.items()}
    inside = {letter: option for letter, option in inside.items() if option.strip() and option in stated}
    longest = [
        letter
        for letter, option in inside.items()
        if not any(option != other and option in other for other in inside.values())
    ]
    return longest[0] if len(longest) == 1 else None
