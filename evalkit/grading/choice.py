"""Read the letter that a response to a multiple-choice question settles on."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from evalkit.grading.answers.extract import OPEN_END, box_contents, visible
from evalkit.grading.answers.letters import (
    CORRECTED,
    DOUBTED,
    ENDS,
    MORE,
    NEGATED,
    NOUN,
    REJECTED,
    named_letter,
    names_a_thing,
    recites,
    supposed,
)
from evalkit.grading.answers.statement import ANSWER_WORDS, IS_WORDS, RATHER, RIGHT_WORDS
from evalkit.grading.math import compare_answers
from evalkit.thinking import split_thinking
from evalkit.types import NO_RIGHT_ANSWER, Score

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_TRIES = 100  # of the last cues
_TAIL = 20_000  # characters
_OPENERS = " \t\n\"'“”‘’({[<:"
# Cyrillic and Greek look-alikes, and the letters that Arabic and Bengali options carry in MMMLU
_LOOKALIKES = {
    **dict(zip("АВСЕНІЈ", "ABCEHIJ", strict=True)),
    **dict(zip("ΑΒΕΗΙ", "ABEHI", strict=True)),
    **dict(zip("أبجدهو", "ABCDEF", strict=True)),
    **dict(zip("অবডঢ", "ABCD", strict=True)),
    **dict(zip("কখগঘ", "ABCD", strict=True)),
    **dict(zip("กขคง", "ABCD", strict=True)),
}
_SUPERSCRIPT = re.compile("[⁺⁻]?[⁰¹²³⁴-⁹]+")
_GREEK_NAMES = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu"),
    *("xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)
_GREEK = {
    name: unicodedata.lookup(f"GREEK SMALL LETTER {'LAMDA' if name == 'lambda' else name.upper()}")
    for name in _GREEK_NAMES
}
_SYMBOLS = dict(
    zip(
        (
            "cup",
            "cap",
            "lt",
            "gt",
            "le",
            "leq",
            "ge",
            "geq",
            "neq",
            "to",
            "rightarrow",
            "longrightarrow",
            "times",
            "cdot",
        ),
        "∪∩<>≤≤≥≥≠→→→xx",
        strict=True,
    )
)
_ENCLOSED = {first + i: letter for first in (0x1F150, 0x1F170) for i, letter in enumerate(_LETTERS)}  # 🅐 and 🅰
_STANDALONE = re.compile(rf"(?<!\w)([{''.join(_LOOKALIKES)}])(?![\w\u0e30-\u0e4e])")
_WRAPPED = re.compile(
    r"""
    \\(?:text|textbf|mathrm|mathbf|mbox|textit|boldsymbol|operatorname|textnormal|mathsf|texttt)\s*\{
    ([^{}]{0,300})\}
    """,
    re.VERBOSE,
)
_FONT = re.compile(
    r"""
    \\(?:text|textbf|textrm|textit|textsf|texttt|textnormal|mathrm|mathbf|mathsf|mathit|mathtt|mathcal|boldsymbol|bf|rm|it|sf
    |tt|bfseries|rmfamily|Large|large|huge|Huge|LARGE)
    (?:\s+|(?=[({]))(?=[({]{0,2}\s?[A-Za-z](?![A-Za-z]))
    """,
    re.VERBOSE,
)
_MARKUP = re.compile(
    r"""
    \*+|(?<![\w}])_+|_+(?![\w{(\\])|`+|\$+|\\[()\[\]{}]|\\(?:[,;!:]|(?:quad|qquad|left|right|displaystyle)(?![a-zA-Z]))
    |\#+(?=\s)|~~
    """,
    re.VERBOSE,
)
_ELEMENT = re.compile(
    r"""
    [<\[](answer|final_answer|result|solution|output|choice|option|letter|response)[>\]](.{0,2000}?)
    [<\[]/\1[>\]]
    |[\"'](?:final_)?answer[\"']\s*:\s*[\"']([^\"']{1,300})[\"']
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_DOUBT = re.compile(
    r"""
    (?<!\w)
    (?:
        not|n\ t|t|never|neither|nor|cannot|no|incorrect|wrong|false|rather\ than|unlike|instead|except
        |could|might|may|maybe|perhaps
    )(?!\w)
    """,
    re.VERBOSE,
)
# a number with its decimals, an exponent with its sign, a word, a relation
_TOKEN = re.compile(
    r"""
    (?:(?:(?<=\^)|(?<=\^\{)|(?<=10)|(?<=\ x\ 10\ ))-)?\w+(?:(?<=\d)\.\d+)?|[∪∩<>≤≥≠→]
    """,
    re.VERBOSE,
)
# where what is stated as the answer may end: a clause, a line, a reason
_END = re.compile(
    r"""
    [.!?;,:。，；]?(?=\n|\Z)|[.!?;,。，；](?=[\s)\]]|\Z)
    |\s(?=[(\[—–]|-\s|(?:because|since|as|which|rather\ than|instead\ of|and\ not|not|is|are)\b)
    """,
    re.VERBOSE,
)
# a letter with these behind it is a formula's: D_{3h}, A > B, C=O
_CHAIN = re.compile(
    r"""
    [}\])]*
    (?:
        [_^]
        |[ \t]*(?:[<>≥≤∪∩≡→⇌]|=(?!>)|-+>|\\(?:to|rightarrow|c[au]p|geq?|leq?)\b)[ \t]*\(?[A-Z](?!\w)
    )
    """,
    re.VERBOSE,
)
_OTHER = re.compile(
    r"""
    (?:second|2nd|third|3rd|next|other|another|alternative|wrong|incorrect|common|错误)\s*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LINE_START = re.compile(r"\n[\s*_#>]*\Z")
_HTML = re.compile(
    r"""
    </?(?:b|strong|p|i|em|u|span|div|li|ul|ol|br|h\d|mark|code|center)(?:\s[^<>]{0,100})?/?>
    """,
    re.VERBOSE,
)
_SMALL = re.compile(
    r"""
    (?<!\w)
    (
        (?:options?|choice|letter|it['’]?s|it\ is|pick|choose|go\ with)\s\(?
        |(?:so|thus|therefore|hence|is),?\s(?:\(|(?=[a-j]\)))
    )([a-j])(?=\)?\s*(?:[.!;,\n]|\Z|is\b|because|since))
    """,
    re.IGNORECASE | re.VERBOSE,
)
_VERBS = IS_WORDS.replace(" ", r"\ ")
_IS = rf"(?:(?:{_VERBS})(?![a-zA-Z])|['’]s(?=\s)|是|为|為|は|은|는)"
_ANSWER = unicodedata.normalize("NFKC", ANSWER_WORDS).replace(" ", r"\ ")  # as the text it is looked for in
_CUE = re.compile(
    rf"""
    (?:(?<![^\W_])|(?<=[\u2e80-\uffff]))(?:(?:final|correct|best|right|my)\s{{1,3}}){{0,3}}
    (?:
        {_ANSWER}|choice|option|letter|选项|選項|選択肢|opción|opção|alternativa|вариант|alternativ|inciso
        |pilihan|keuze|možnost|opcja|विकल्प
    )(?:\s+(?:choice|option|letter|correct|{RIGHT_WORDS}))?(?![a-zà-ž])
    (?:\s+to\s[^.\n:]{{1,80}}?(?=\s{_IS}|:))?
    (?:
        \s*
        (?:must|should|would|will|has\ to|to|definitely|therefore|clearly|thus|hence|here|most\ likely)
        \b
    ){{0,4}}(?:(?<=[Aa]ns)\.)?\s*(?P<mark>
        {_IS}|(?:corresponds?\ (?:to|with)|matches)\b|[:：=>】]|\|>|–|—|-(?=\s)
    )?\s*[:：]?[\"'“”]?\s*
    (?:
        (?:
            definitely|clearly|certainly|therefore|thus|hence|most|very|almost|probably|indeed|actually
            |simply|likely|option|choice|letter|answer|number|donc|somit|daher|quindi|portanto|entonces
            |(?-i:a)(?=\s[(*]*(?-i:[B-Z])(?!\w))|la|el|il|die|der|den|de|het|(?:a\ )?letra|lettera
            |lettre|Buchstabe|буква|phương\ án|câu
        )\b[\s:]{{0,3}}
    ){{0,4}}
    """,
    re.IGNORECASE | re.VERBOSE,
)


def grade_choice(response: str, gold: str, choices: Sequence[str]) -> Score:
    """Grade a multiple-choice response: value 1 where the letter it settles on is `gold` ("A" for the first choice).

    `choices` are the options' texts in the order shown; empty texts (or the bare letters) mean that only letters are
    read. `answer` is the letter; status "no_answer" where none, or more than one, is given, "error" if `gold` is empty.

    Examples:
        >>> score = grade_choice("Answer: B", "B", ["Mars", "Venus", "Earth", "Jupiter"])
        >>> score.status, score.answer
        ('correct', 'B')
    """
    if not gold.strip():
        return Score(0.0, "error", None, NO_RIGHT_ANSWER)
    text = split_thinking(response).response
    if text is None:
        return Score(0.0, "no_answer", None, "the thinking block was never closed, so nothing was answered", "")
    letter, rule, quote = read_letter(text, choices)
    if letter is None:
        return Score(0.0, "no_answer", None, rule or "no letter is stated as the answer", "")
    right = letter == _plain(gold).strip("() .").upper()
    explanation = f"{rule}: read {letter} from {quote[:120]!r}; the right letter is {gold}"
    return Score(float(right), "correct" if right else "wrong", letter, explanation, rule)


class _Found(NamedTuple):
    position: int  # in the raw text
    letter: str
    rule: str
    quote: str
    supposed: bool = False  # "If it had asked for RNA, the answer would be D"


def read_letter(text: str, choices: Sequence[str]) -> tuple[str | None, str, str]:
    """(letter or None, the rule that read it or why none was read, the words it was read from)."""
    letters = _LETTERS[: max(len(choices), 1)]
    options = _option_texts(choices)
    raw = visible(text)[-_TAIL:]
    plain = _plain(raw)
    shift = len(raw) / max(len(plain), 1)  # positions in the plain text stand for those in the raw one
    cued, ambiguous = _cued(plain, letters, options, shift)
    found = [*_marked(raw, letters, options), *cued]
    strong = [item for item in found if item.rule != "option"]
    if strong:
        last = max(strong, key=lambda item: (not item.supposed, item.position))
        return _corrected(plain[int(last.position / shift) :], letters) or last[1:4]
    if ambiguous and not found:
        return None, "more than one letter is stated", ""
    line = plain.strip().rsplit("\n", 1)[-1]
    if not recites(plain) and (opened := _opening(line, letters, options)) and not opened[1]:
        return (opened[0], "option text", line) if opened[0] != "?" else (None, "more than one option is stated", "")
    letter, quote = named_letter(_without_options(plain, letters, options), letters)
    if letter:
        return letter, "conclusion", quote
    if quote:
        return None, quote, ""
    if found:
        return found[-1][1:4]
    concluded = _concluding_option(plain, options)
    return concluded if concluded[0] else _by_value(raw, plain, choices) or concluded


def _marked(raw: str, letters: str, options: dict[str, str]) -> list[_Found]:
    """The letters of boxes and answer elements."""
    found = []
    for start, _, content in box_contents(raw)[-3:]:
        if letter := _stated(_plain(content), letters, options, whole=True):
            found.append(_Found(start, letter, "box", content))
    for match in _ELEMENT.finditer(raw):
        content = match[2] or match[3] or ""
        if letter := _stated(_plain(content), letters, options, whole=True):
            found.append(_Found(match.start(), letter, "answer element", content))
    return found


def _cued(plain: str, letters: str, options: dict[str, str], shift: float) -> tuple[list[_Found], bool]:
    """The letters behind a cue ("Answer: B", "option B"), and whether one of them gave two letters."""
    found, ambiguous = [], False
    for match in list(_CUE.finditer(plain))[-_TRIES:]:
        after = plain[match.end() : match.end() + 400]
        explicit = match["mark"] is not None
        before = plain[max(0, match.start() - 60) : match.start()]
        # "(A) is wrong" says nothing of an "Answer:" that starts the next line
        heads = explicit and _LINE_START.search(before) is not None and match[0].lstrip("*_#> ")[:1].isupper()
        if DOUBTED.search(before) or (not heads and (NEGATED.search(before) or _OTHER.search(before))):
            continue
        opened = _opening(after, letters, options) if explicit else None
        letter = opened[0] if opened else _head(after, letters, options)
        if not explicit and NOUN.search(match[0]) and not ENDS.match(_after_letter(after)):
            continue  # option B says …
        if letter == "?":
            ambiguous = True
            continue
        rest = opened[1] if opened else _after_letter(after)
        if letter is not None and not opened and after.lstrip()[:1] == letter and names_a_thing(rest):
            continue  # "Answer: A is a subset of B"
        if letter is None and explicit:
            piece = re.split(r"\n\s*\n|\n(?=\S{1,20}:)", after.strip())[0]
            letter = _stated(_kept(piece, options), letters, options)
        if (
            letter is not None
            and not REJECTED.search(_without_text(rest, options.get(letter, "")))
            and not re.match(r"[)\]]?\s*\?", rest)
        ):
            rule = "answer" if explicit else "option"
            idle = supposed(plain[max(0, match.start() - 300) : match.start()], match[0], rest)
            found.append(_Found(int(match.start() * shift), letter, rule, match[0] + after[:40], idle))
    return found, ambiguous


def _by_value(raw: str, plain: str, choices: Sequence[str]) -> tuple[str, str, str] | None:
    """The one option that the mathematics in the last box, or behind the last "Answer:", equals."""
    boxes, cues = box_contents(raw), [cue for cue in _CUE.finditer(plain) if cue["mark"]]
    if boxes:
        stated, rule = boxes[-1][2].strip(), "box"
    elif cues:
        before, after = plain[max(0, cues[-1].start() - 300) : cues[-1].start()], plain[cues[-1].end() :].strip()
        stated, rule = re.split(r"\n|(?<=[^\W_]|[})])\.(?:\s|\Z)", after[:300])[0].strip(), "answer"
        if NEGATED.search(before) or DOUBTED.search(before) or _OTHER.search(before) or supposed(before, "", ""):
            return None
    else:
        return None
    if not _is_formula(stated):
        return None
    written = [re.sub(r"(?<=\d)\s*[x×]\s*(?=10\b)", r" \\times ", choice) for choice in choices]
    formulas = [(letter, text) for letter, text in zip(_LETTERS, written, strict=False) if _is_formula(text)]
    # a unit that only one of them has is left undecided: 400 is not 400 K
    alike = [(letter, text) for letter, text in formulas if _letters_of(text) == _letters_of(stated)]
    verdicts = {letter: compare_answers(text, stated).equal for letter, text in alike}
    equal = [letter for letter, verdict in verdicts.items() if verdict]
    if len(equal) != 1 or None in verdicts.values():
        return None
    return equal[0], rule, stated


def _letters_of(formula: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]", re.sub(r"\\[A-Za-z]+", " ", formula)))


def _is_formula(text: str) -> bool:
    """Whether a short text is mathematics without words, units aside."""
    if not text.strip() or len(text) > 200 or not re.search(r"\d|\\[a-z]{2}|[=+/^]", text):
        return False
    return (
        re.search(r"[^\W\d_]{4}|\b(?:not|no|or|and|is|if|the|non|n['’]t)\b|\?", re.sub(r"\\[A-Za-z]+", " ", text))
        is None
    )


def _corrected(tail: str, letters: str) -> tuple[str, str, str] | None:
    """The letter that takes the last one back: "Wait, … it is C"."""
    corrected = CORRECTED.search(tail)
    if corrected is None:
        return None
    again = tail[corrected.end() :]
    bare = re.match(r"[\s,]*[(\[]?([A-Z])[)\]]?\s*(?:[.!]|\Z|\n)", again)
    letter, quote = named_letter(again, letters, least=2)
    if bare and bare[1] in letters and not letter:
        letter, quote = bare[1], bare[0].strip()
    return (letter, "correction", quote) if letter else None


def _concluding_option(plain: str, options: dict[str, str]) -> tuple[str | None, str, str]:
    """The one option whose text concludes the last line."""
    line = plain.strip().rsplit("\n", 1)[-1]
    if recites(plain) or OPEN_END.search(line):
        return None, "", ""
    sentence = re.split(r"(?<=[.!?])\s+", line)[-1]
    conclusion = re.split(r",?\s(?:so|thus|hence|therefore)\s", sentence)[-1]
    clause = re.split(r"(?<!\w)(?:is|are|be|was):?\s|[:=]\s", conclusion)[-1]
    for piece, around in ((line, line), (sentence, sentence), (conclusion, conclusion), (clause, conclusion)):
        by_text = _by_exact_text(piece, options) or _by_text(_kept(piece, options), options)
        if by_text and _loose(options[by_text]).isdigit() and len(re.findall(r"\d+", piece)) > 1:
            continue  # one of several numbers
        if by_text and not around.endswith("?") and not _doubted(_loose(options[by_text]), around):
            return by_text, "option text", piece
    return None, "", ""


def _kept(text: str, options: dict[str, str]) -> str:
    """The text up to "rather than …" or "not …", all of it where an option that it names has such words of its own."""
    own = _by_text(text, options)
    return text if own and RATHER.search(options[own]) else RATHER.split(text)[0]


def _doubted(option: str, sentence: str) -> bool:
    """Whether a sentence that names an option negates it or hedges: "It is not green"; not "It is green, not red"."""
    first = _loose(RATHER.split(sentence)[0])
    return _DOUBT.search((first if option in first else _loose(sentence)).replace(option, "")) is not None


def _plain(text: str) -> str:
    """Without markup, look-alike letters replaced."""
    text = unicodedata.normalize("NFKC", _SUPERSCRIPT.sub(r"^\g<0>", text.translate(_ENCLOSED)))
    for _ in range(3):
        text = _WRAPPED.sub(r"\1", text)
    text = _FONT.sub("", text)
    text = _SMALL.sub(lambda match: match[1] + match[2].upper(), _HTML.sub(" ", text))
    text = re.sub(r"\\(?:boxed|fbox|framebox)\s*\{([^{}]{0,300})\}", r" \1 ", text)
    text = re.sub(r"(?<=\d)\s?\*\s?(?=\d)", "×", text)
    text = _MARKUP.sub("", re.sub(r"~~[^~\n]{1,100}~~", "", text))
    return _STANDALONE.sub(lambda match: _LOOKALIKES[match[1]], text)


def _option_texts(choices: Sequence[str]) -> dict[str, str]:
    """Letter -> option text without markup; options without a text of their own are left out."""
    texts = {_LETTERS[i]: _plain(choice) for i, choice in enumerate(choices[:26])}
    return {letter: text for letter, text in texts.items() if _squash(text) not in ("", letter.lower())}


@lru_cache(maxsize=256)
def _loose(text: str) -> str:
    """Words, numbers and relations with single spaces between them."""
    text = re.sub(r"\\([a-z]+)", lambda match: f" {_SYMBOLS.get(match[1], '')} ", text.casefold())
    text = re.sub(r"(?<=\d)\s*[·⋅∙•×]\s*(?=\d)|×", " x ", text)
    text = re.sub(r"(?<=\d)e(?=[-−+]?\d)", " x 10 ", text).replace("−", "-")
    return " ".join(_TOKEN.findall(text))


@lru_cache(maxsize=256)
def _squash(text: str) -> str:
    text = re.sub(r"\\(?:d|t)?frac", "frac", _plain(text).casefold())
    text = re.sub(r"(?<=\d)\s*[·⋅∙•]\s*(?=\d)|\\times(?![a-z])|\\cdot(?![a-z])|×", "x", text)
    text = re.sub(r"(?<=\d)e(?=[-−+]?\d)", "x10^", text)
    text = re.sub(r"\\(?:to|(?:long)?rightarrow)(?![a-z])|[→⟶]", "->", text)
    text = re.sub(r"\\([a-z]+)", lambda match: _GREEK.get(match[1], match[1]), re.sub(r"[−–—]", "-", text))
    return re.sub(r"[\s\"'“”‘’`$\\{}:;!?*_\[\]|~&#@]|\^(?!\d)|(?<!\d)\^", "", text).strip(".,")


def _opening(after: str, letters: str, options: dict[str, str]) -> tuple[str, str] | None:
    """The option whose own text, which starts like a letter ("B. subtilis"), is stated first, and what follows it.

    "?" where the words may be a letter and that option's text as well.
    """
    text = after.lstrip(_OPENERS)[:400]
    likely = {letter: option for letter, option in options.items() if _starts_with_letter(option, letters)}
    if not likely or text[:1].upper() not in letters:
        return None
    ends = [match.start() for match in _END.finditer(text)][:12]
    for alike in (_same, _nearly):
        for end in reversed(ends):
            piece = text[:end] if text.count("(", 0, end) >= text.count(")", 0, end) else text[:end].rstrip(")")
            stated = [letter for letter, option in likely.items() if len(piece) > 1 and alike(piece, option)]
            if len(stated) == 1:
                own = _squash(options.get(text[0].upper(), ""))
                both = own != "" and stated[0] != text[0].upper() and _squash(text[1:end].lstrip(" .:)]")) == own
                return ("?" if both else stated[0]), text[end:].strip(" .!\n*)]}\"'”")[:60]
    return None


def _same(stated: str, option: str) -> bool:
    return _squash(stated) == _squash(option)


def _nearly(stated: str, option: str) -> bool:
    """Whether two texts differ by a plural, or an option starts with the words stated: "C=O" of "C=O bond"."""
    said, own = _squash(stated), _squash(option)
    begins = len(said) > 2 and own.startswith(said) and _loose(option).startswith(_loose(stated) + " ")
    return begins or (len(said) > 2 and said.rstrip("s") == own.rstrip("s"))


def _starts_with_letter(option: str, letters: str) -> bool:
    """Whether an option's text can be taken for a letter: "B cells", "A > B", "C=O bond"; not "B" itself."""
    start = option.lstrip(_OPENERS)
    return start[:1] in letters and not (start[1:2].isalnum() and start[1:2].isascii()) and len(_squash(option)) > 1


def _without_options(plain: str, letters: str, options: dict[str, str]) -> str:
    """The text, "this" in place of option texts with a letter in them: "It is B. subtilis" names no choice B."""
    for option in options.values():
        words = re.findall(r"\w+|[^\w\s]", option.lstrip(_OPENERS).rstrip(" ."))
        if len(words) < 2 or len(words) > 80 or not re.search(rf"(?<!\w)[{letters}](?!\w)", option):
            continue
        own = _squash(options.get(words[0], ""))
        if not own or not _squash("".join(words[1:]).lstrip(".:)]")).startswith(own):
            pattern = r"\s?".join(re.escape(word) for word in words)
            plain = re.sub(rf"(?<!\w){pattern}(?!\w)", "this", plain)
    return plain


def _head(after: str, letters: str, options: dict[str, str]) -> str | None:
    """The letter at the very start of what follows a cue; "?" where two are given there."""
    text = after.lstrip(_OPENERS)
    if not text or text[0].upper() not in letters:
        return None
    rest = text[1:]
    if rest[:1] and (
        (rest[0].isalnum() and rest[0].isascii())
        or rest[0] in "_^"
        or (rest[0] in "'’" and rest[1:2].isalpha() and not re.match(r"['’][dt][iı]r\b", rest))
        or (rest[0] == "-" and rest[1:2].isalnum())
        or _CHAIN.match(rest)
    ):
        return None
    letter = text[0].upper()
    if text[0].islower() and not re.match(r"[)\].,:;!?\"'”]|\s*$|\s*\n", rest):
        return None
    if (
        text[0] in "AI"
        and re.match(r"\s+[a-z]", rest)
        and not re.match(
            r"""
            \s+
            (?:
                because|since|as|is|was|for|and|or|but|not|non|by|due|given|with|which|from|rather
                |instead|nicht|car|porque
            )\b
            """,
            rest,
            flags=re.VERBOSE,
        )
    ):
        return None
    more = MORE.match(rest)
    if more and more[1] in letters and more[1] != letter:
        own, said = _loose(options.get(letter, "")), _loose(rest)
        labelled = re.search(r"[a-z]{4}", own) or rest[0] in ").:]"
        return letter if own and labelled and f"{said} ".startswith(f"{own} ") else "?"
    return letter


def _after_letter(after: str) -> str:
    return after.lstrip(_OPENERS)[1:60]


def _without_text(rest: str, option: str) -> str:
    """What follows a letter, less its option's text: the "are not" of "H) They are not guilty" rejects nothing."""
    said, own = _loose(rest), _loose(option)
    if own and said.startswith(own):
        return said[len(own) :]
    return "" if len(said) >= 20 and own.startswith(said) else rest


def _stated(text: str, letters: str, options: dict[str, str], *, whole: bool = False) -> str | None:
    """The letter that the content of a box, or what follows "Answer:", states; by its option's text too."""
    text = text.strip()
    if opened := _opening(text, letters, options):
        return opened[0] if opened[0] != "?" else None
    letter = _head(text, letters, options)
    if letter and letter != "?" and (not whole or len(text) < 3 or not re.match(r"\w*\s*[=+*/^<>]", text[1:])):
        return letter
    if letter == "?":
        return None
    cue = _CUE.search(text)
    if cue:
        opened = _opening(text[cue.end() :], letters, options)
        letter = opened[0] if opened else _head(text[cue.end() :], letters, options)
        if letter and letter != "?":
            return letter
    for side in (text, text.rpartition("=")[2]):
        if side.strip() and (exact := _by_exact_text(side, options)):
            return exact
    if not whole:
        letter = named_letter(text, letters)[0]
        if letter:
            return letter
    return _by_text(_plain(text), options)


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
