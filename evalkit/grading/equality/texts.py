"""Whether two texts are the same words: without wrappers, case, closing punctuation; choices, names, no solution."""

import re
from functools import lru_cache

from evalkit.grading.equality.spelt import date
from evalkit.grading.latex.vocabulary import NUMBER_WORDS, WRAPPER_COMMAND, unwrapped

_LABEL = re.compile(r"^[({\s]*([A-Za-z])\s*[)}.:]+\s*(.*)$|^\s*([A-Z])\s*$", re.DOTALL)
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*\{([^{}]*)\}")
_NAMED = re.compile(r"^\s*(?:option|choice|answer(?: is)?|故?选)\s*[:：]?\s*", re.IGNORECASE)
_CAPITAL = re.compile(
    r"""
    \\(?=(?:Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega)(?![A-Za-z]))
    """,
    re.VERBOSE,
)
_SPACING = re.compile(r"\\(?:left|right|displaystyle|quad|qquad|[,!;: ])|[\s$~]+")


def same_words(gold: str, answer: str) -> str:
    first, second = plain_words(gold), plain_words(answer)
    if first and first == second and not _other_letter(gold, answer):
        return "the same text"
    subjects = _SUBJECT.match(bare_text(gold)), _SUBJECT.match(bare_text(answer))
    if (subjects[1] and first == plain_words(bare_text(answer)[subjects[1].end() :])) or (
        subjects[0] and second == plain_words(bare_text(gold)[subjects[0].end() :])
    ):
        return "the same words"
    if {first, second} & _EMPTY and all(word in _EMPTY or NO_SOLUTION.fullmatch(word) for word in (first, second)):
        return "no solution"
    if (base := NUMERAL.fullmatch(gold.strip())) and base[1] == bare_text(answer):
        return "the same digits, one without its base"
    if (first in _NUMBERS and _NUMBERS[first] == second) or (second in _NUMBERS and _NUMBERS[second] == first):
        return "a number in words"
    if _alike(gold, answer):
        return "the same words, one with what they are said of"
    dates = date(bare_text(gold)), date(bare_text(answer))
    if dates[0] and dates[1] and dates[0][:2] == dates[1][:2] and dates[0][2] in ("", dates[1][2]):
        return "the same date"
    if _choices(gold) and _choices(gold) == _choices(answer):
        return "the same choices"
    if _names(gold) and _names(gold) == _names(answer):
        return "the same words in any order"
    label, other = _LABEL.match(bare_text(gold)), _LABEL.match(_NAMED.sub("", bare_text(answer)))
    if label and other:
        letters = (label[1] or label[3]).upper(), (other[1] or other[3]).upper()
        labelled = re.search(r"[()]|text", gold) is not None or gold.strip().isupper()
        if (
            letters[0] == letters[1]
            and labelled
            and not _more_letters(other[2] or "")
            and not _more_letters(label[2] or "")
            and (not label[2] or not other[2] or plain_words(label[2]) == plain_words(other[2]))
        ):
            return "the same choice"
    if label and label[1] and label[2].strip() and plain_words(label[2]) == second:
        return "the choice's value"
    if other and other[1] and (other[2] or "").strip() and "(" in answer and plain_words(other[2]) == first:
        return "the choice's value"
    return ""


# what a property is said of, and the properties
_SAID_OF = (
    ("function", "odd even increasing decreasing linear quadratic cubic exponential logarithmic periodic constant "
     "injective surjective bijective continuous discontinuous concave convex"),
    ("triangle", "acute obtuse right scalene isosceles equilateral"),
    ("(?:sequence|series|progression)", "arithmetic geometric harmonic convergent divergent"),
    ("(?:number|integer)", "odd even prime composite rational irrational real complex imaginary"),
    ("angle", "acute obtuse right reflex straight"),
    ("(?:system|equations?)", "consistent inconsistent dependent independent"),
)  # fmt: skip
_INFINITELY_MANY = (
    r"(?:infinitely many|an? infinite number of|infinite) (?:distinct )?(?:solutions|values|answers|points)",
    r"(?:infinitely many|an infinite number)",
)
_SAID_WORDS = [rf"(?:{'|'.join(properties.split())}) {noun}" for noun, properties in _SAID_OF]
_SAID = re.compile("|".join([*_SAID_WORDS, *_INFINITELY_MANY]))


def _alike(gold: str, answer: str) -> bool:
    """Whether one says "odd" and the other "odd function"; "infinitely many", with or without its noun."""
    texts = [bare_text(text).casefold().strip(" .") for text in (gold, answer)]
    texts = [re.sub(r"^an?\s+(?!infinite number)", "", text) for text in texts]
    if not any(_SAID.fullmatch(text) for text in texts):
        return False
    if all("infinite" in text and _SAID.fullmatch(text) for text in texts):
        return True
    first, second = (text.partition(" ")[0] for text in texts)
    return first == second and any(" " not in text for text in texts)


def _other_letter(gold: str, answer: str) -> bool:
    """Whether both are one letter, x and X; a small letter may stand for the choice A."""
    letters = bare_text(gold), bare_text(answer)
    return len(letters[0]) == len(letters[1]) == 1 and letters[0] != letters[1] and letters[0].islower()


def _choices(text: str) -> str:
    """The letters of a question with several right options, in order: "ABD", "A, B and D"."""
    bare = re.sub(r"[\s,;、(){}]|and", "", bare_text(text))
    return "".join(sorted(bare)) if re.fullmatch(r"[A-H]{2,8}", bare) and len(set(bare)) == len(bare) else ""


def _names(text: str) -> list[str]:
    """The parts of a list of words, sorted: "Alice, Bob and Eve"; empty where it is none."""
    bare = bare_text(text)
    if len(bare) > 1000 or not re.fullmatch(r"[^\W\d_][\w\s,;.'-]*", bare) or re.search(r"\d", bare):
        return []
    parts = [part.strip(" .").casefold() for part in re.split(r"[,;]|(?<!\w)and(?!\w)", bare)]
    parts = sorted(part for part in parts if part)
    named = all(len(part) > 1 for part in parts) or all(re.fullmatch(r"[ivx]+", part) for part in parts)
    return parts if len(parts) > 1 and named else []


# what holds one of these is a formula, in which x and X are two letters
_FORMULA = re.compile(r"[=+*/^_<>(){}|]|(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
# without spaces, as they are compared
_NO_VALUE = re.compile(
    r"""(?:the)?(?:limit|it|value|sum|integral|derivative|answer)?
    (?:doesnot|doesn['’]t)exist  # spaces are gone already""",
    re.VERBOSE,
)
_SUBJECT = re.compile(
    r"""^(?:the|this|that|our)\s[^.=<>]{1,60}?\s(?:is|are|was)\s+  # "The graph is …"
    |^it(?:\ is|['’]s)\s+""",
    re.IGNORECASE | re.VERBOSE,
)
NO_SOLUTION = re.compile(
    r"""
    (?:there(?:is|are|exists?|exist)|ithas|(?:the)?equationhas|has)?(no(real|integer)?(?:solution|root))s?
    (?:exists?)?
    """,
    re.VERBOSE,
)
_EMPTY = {"emptyset", "varnothing", "∅", "ø", "{}"}
# a numeral with letters for digits: AB_{16}
NUMERAL = re.compile(
    rf"""
        (?:{WRAPPER_COMMAND}\{{)?((?=\d*[A-F])[0-9A-F]{{2,30}})\}}?_\{{?(1[1-6])\}}?
        """,
    re.VERBOSE,
)
_NUMBERS = {word: str(number) for word, number in NUMBER_WORDS.items()}


def _more_letters(rest: str) -> bool:
    return re.match(r"^\W*(?:and|or|,|&)?\W*\(?[A-Z]\)?\W*$", rest) is not None and bool(rest.strip(" .)"))


@lru_cache(maxsize=64)
def bare_text(text: str) -> str:
    for _ in range(3):
        text = _BOX.sub(r"\1", unwrapped(text))
    text = _CAPITAL.sub("⇑", text)
    return _SPACING.sub(" ", text.replace("\\|", "‖")).replace("\\", "").strip().strip("*")


@lru_cache(maxsize=64)
def plain_words(text: str) -> str:
    """A text without wrappers, spacing, case and closing punctuation: equal texts mean the same."""
    for _ in range(20):
        bare = _bare(text)
        if bare == text:
            break
        text = bare
    return text


def _bare(text: str) -> str:
    text = re.sub(r"^(?:an?|the)\s+(?=[^\W\d_]{3})|(?<=\d)(?:st|nd|rd|th)(?![^\W_])", "", bare_text(text), flags=re.I)
    text = re.sub(r"^(?:No|All|Every|Any|None|There|The|Only|For)(?![a-z])", lambda match: match[0].lower(), text)
    text = re.sub(r"^no such ", "no ", re.sub(r"^there (?:is|are|exists?) (?=no )", "", text))
    text = re.sub(r"^(no .*) exists?(?=\W*$)", r"\1", text)
    text = _SPACING.sub("", re.sub(r"(?<=\d)\s+(?=\d)", "␣", text)).replace("dfrac", "frac").replace("tfrac", "frac")
    text = text.rstrip(".,;:")
    if not _FORMULA.search(text):
        text = re.sub(r"(?<=[a-z]{2})-(?=[a-z]{2})", "", text.casefold())
    text = NO_SOLUTION.sub(r"\1", text) if NO_SOLUTION.fullmatch(text) else "dne" if _NO_VALUE.fullmatch(text) else text
    return text[1:-1] if re.fullmatch(r"\([a-z]\)|\"[^\"]*\"|'[^']*'", text) else text
