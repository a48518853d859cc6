"""Read the value out of a sentence: "The answer is $x$.", "so there are **858** sweets", "体重是192公斤。"."""

import re
import unicodedata

from evalkit.grading.latex.vocabulary import NUMBER_WORDS, words

# "answer" in the languages of the multilingual benchmarks (MGSM, MMMLU, PolyMath)
ANSWER_WORDS = (
    "answers?|ans|solution is|réponse|reponse|respuesta|antwort|lösung|risposta|resposta|odpowiedź|odpověď|svar|svaret|"
    "vastaus|cevap|yanıt|jawaban|jibu|đáp án|câu trả lời|trả lời|ответ|відповідь|отговор|одговор|απάντηση|"
    "răspuns(?:ul)?|válasz|ה?תשובה|جواب|الجواب|الإجابة|إجابة|پاسخ|उत्तर|जवाब|উত্তর|సమాధానం|விடை|பதில்|คำตอบ(?:คือ|ที่ถูกต้องคือ)?|"
    "答案|正解|答え|答|回答|解答|정답|답"
)
# "is" in those languages
IS_WORDS = (
    "is|are|was|equals|be|je|est|es|ist|lautet|è|é|jest|är|er|on|ni|là|este|(?:yang benar )?adalah|είναι|היא|הוא|هو|هي|"
    "है|হল|হলো|คือ|是|为|為|は|은|는"
)
# "correct" behind a noun
RIGHT_WORDS = (
    "finale?|correcte?|correcta|correta|corretta|corect|sahihi|certa|giusta|juste|richtig|đúng|الصحيحة|الصحيح|הנכונה"
)
_SPAN = re.compile(
    r"""
    \$\$(.{1,2000}?)\$\$|\\\[(.{1,2000}?)\\\]|\\\((.{1,1000}?)\\\)
    |(?<!\\)\$(?!\s?[\d,.]+\s[a-z]{2})([^$]{1,1000}?)(?<!\\)\$
    """,
    re.DOTALL | re.VERBOSE,
)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*|__([^_\n]{1,200})__")
_NUMBER = re.compile(
    r"""
    (?<![\w.^])[-−+]?\s?(?:\\?\$|[€£¥₹])?\d(?:[\d,.]*\d)?(?:\s?/\s?\d+)?(?:\s?\\?%)?(?:\s?[$€£])?
    (?![\d/])
    |(?<=[\u0900-\uffff])[-−]?\d(?:[\d,.]*\d)?(?:/\d+)?(?:\s?%)?
    """,
    re.VERBOSE,
)
# one value in two numbers: 2 hours and 30 minutes, 3:45 PM
_TIME = re.compile(
    r"""
    \d+\s(?:hours?|hrs?|minutes?|days?|weeks?|years?|feet|foot)(?:,?\sand\s|,?\s)\d+\s
    (?:minutes?|mins?|seconds?|hours?|days?|months?|inch(?:es)?)
    |\d{1,2}:\d{2}(?:\s?[ap]\.?m\b\.?)?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_ANCHOR = re.compile(
    r"""
    (?<![A-Za-zÀ-ž])
    (?:is|are|was|equals|be|gives|it['’]s|that['’]s|est|es|ist|è|sono|est\ de|son|ist\ gleich|là|jest)
    (?![A-Za-zÀ-ž])
    |[=≈]|(?<!\d)[:：]|[:：](?!\d)|[是为為](?!\D{0,3}$)|は|হল|है|هو|คือ
    """,
    re.VERBOSE,
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=\S)|(?<=[。！？।])\s*|\n\s*\n|\n(?=\s*[-*#\d])")
_WORD = re.compile(r"[^\W\d_]{2,}")
_COMMAND = re.compile(
    r"""
    \\(?:text|mathrm|textbf|mbox|textit|textnormal|operatorname|mathbf|textrm|mathit)\*?\s*\{[^{}]*\}
    |\\(?:begin|end)\s*\{[^{}]*\}|\\[A-Za-z]+
    """,
    re.VERBOSE,
)
_MATH_WORDS = words(
    "sin cos tan cot sec csc log ln exp sqrt pi theta alpha beta gamma lambda mu phi psi omega sigma delta "
    "epsilon min max gcd lcm mod floor ceil abs arcsin arccos arctan sinh cosh tanh inf infty infinity oo and "
    "or frac det union cup cap in if binom quad text cm mm km kg"
)
_FOREIGN = re.compile(r"[^\W\d_a-zA-Zα-ωΑ-Ω]")
_HEDGE = re.compile(
    r"""
    \?\s*$
    |(?<![a-z])
    (?:
        not\ sure|could(?:n't|\ not)|can(?:not|'t)|unable|unclear|unfortunately|ran\ out\ of|don't\ know
        |(?:is|are|be)\ not(?=\s[-$\\(\d])(?![^.\n]*\sbut\s)
    )(?![a-z])
    """,
    re.I | re.VERBOSE,
)
_LED = re.compile(
    r"""
    ^
    (?:
        as|to\ be|comes?\ out\ (?:to|as)|it['’]?s|(?:i|we)\ (?:get|got|have|find|found)
        |not\s[^.\n]{1,60}?\sbut
    )\s
    """,
    re.IGNORECASE | re.VERBOSE,
)
RATHER = re.compile(r",?\s(?:and not|but not|not|rather than|instead of)\s")
_YES_NO = re.compile(r"(yes|no|true|false)(?=[,;:—–]|\s+[-(]|\s+(?:because|since|as)\b)", re.IGNORECASE)
_DELIMITERS = re.compile(r"^(?:\$\$?|\\\[|\\\()\s*|\s*(?:\$\$?|\\\]|\\\))$")
_FILLER = re.compile(r"^\W*(?:I hope|Let me know|Note|Thank|If you|Feel free|✅|---)", re.I)
_COUNTED = re.compile(
    r"""
    ^(?:\W*(?:so|thus|hence|therefore|in\ total),?\s)?there\ (?:are|is)
    (?:\ exactly|\ only|\ a\ total\ of)?\s\$?(\d+)\$?\s[^:=.]{1,80}:
    """,
    re.IGNORECASE | re.VERBOSE,
)
# what a sentence says that something is, in a word or two: "The day is Monday.", "It does not exist."
_WORDED = re.compile(
    r"""
    \s
    (?:
        (?:is|was|be|are|falls\ on|fall\ on)(?:\san?|\sthe|\smost\ likely)?\s[\"“*_]*
        ((?!not\s)[A-Za-z]{2,20})[\"”*_]*
        |(does\ not\ exist)
    )[.!]?\W*\Z
    |\bthere\ (?:is|are)\ (no\ [a-z ]{3,30})[.!]?\W*\Z
    """,
    re.IGNORECASE | re.VERBOSE,
)
_AND = re.compile(
    r"""
    \s*(?:[,;、，]|,?\s*(?:and|or|和|或|et|und|y|e|o|ou|oder)(?![a-z]))\s*(?:\\quad\s*)?
    """,
    re.VERBOSE,
)


_OTHER_DIGIT = re.compile(r"(?![0-9])\d")


def ascii_digits(text: str) -> str:
    """Digits of other scripts (Arabic, Devanagari, Bengali, Thai, full width) as 0 to 9."""
    return _OTHER_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)


def has_words_around(text: str) -> bool:
    """Whether words stand beside delimited mathematics: "Therefore, $a = 2$ and $b = 3$."""
    outside, spans = _SPAN.subn(" ", text)
    return spans > 0 and any(word.lower() not in ("and", "or") for word in _WORD.findall(outside))


def is_prose(text: str) -> bool:
    """Whether a text is a sentence rather than an expression, a number with its unit, or a few words."""
    bare = _COMMAND.sub(" ", _SPAN.sub(" 0 ", text) if len(text) < 5000 else text)
    words = [w for w in _WORD.findall(bare) if w.lower() not in _MATH_WORDS and not (w.isupper() and w.isascii())]
    return len(words) >= 3 or any(len(word) > 3 and not word.isascii() and ord(word[0]) > 0x2E7F for word in words)


def statement_value(text: str) -> str | None:
    """The value that the last sentence with one gives."""
    pieces = [piece for piece in _split(text[-3000:]) if piece.strip(" *_#-✅\n")]
    for piece in reversed(pieces[-6:]):
        if not _FILLER.search(piece) and (value := _value(piece)) is not None:
            return value
    return None


def led_value(text: str) -> str:
    """A response of a few words without them: "It's 14." as 14, `14` without its marks."""
    bare = _LED.sub("", text)
    return bare if bare == text and "`" not in text else _tidy(RATHER.split(bare)[0])


def worded_conclusion(text: str) -> str | None:
    """The word that the last sentence concludes with, or the yes or no that a response of one sentence starts with."""
    pieces = [piece for piece in _split(text[-3000:].strip()) if piece.strip()]
    if not pieces or _HEDGE.search(pieces[-1]):
        return None
    last = pieces[-1].strip(" *_.\n")
    if len(pieces) > 1 and re.fullmatch(r"[A-Za-z]{2,20}(?: [A-Za-z]{2,20})?", last):
        return last
    if len(pieces) == 1 and (word := _YES_NO.match(pieces[0].strip(" *_"))):
        return word[1]
    found = _WORDED.search(pieces[-1])
    return next(filter(None, found.groups()), None) if found else None


def _split(text: str) -> list[str]:
    """Sentences; a full stop inside mathematics ends none."""
    pieces, start, protected = [], 0, [match.span() for match in _SPAN.finditer(text)]
    for match in _SENTENCE.finditer(text):
        if any(begin < match.start() < end for begin, end in protected):
            continue
        pieces.append(text[start : match.start()])
        start = match.end()
    return [*pieces, text[start:]]


def _value(sentence: str) -> str | None:
    sentence = sentence.strip()
    bold = [next(filter(None, match.groups())) for match in _BOLD.finditer(sentence)]
    bold = [text for text in bold if re.search(r"\d|\\|\$", text)]
    if bold:
        inner = bold[-1].strip(" :.")
        return _value(inner) if is_prose(inner) or ":" in inner else _number_of(inner)
    if counted := _COUNTED.match(sentence):
        return counted[1]
    times = _TIME.findall(sentence)
    if len(times) == 1 and not _NUMBER.search(_TIME.sub("", sentence)):
        return str(times[0])
    spans = list(_SPAN.finditer(sentence))
    anchors = [
        match.end()
        for match in _ANCHOR.finditer(sentence)
        if not any(span.start() < match.start() < span.end() for span in spans)
    ]
    for anchor in reversed(anchors):
        after = next((span for span in spans if span.start() >= anchor), None)
        tail = sentence[anchor:]
        if tail.strip(" .*_").casefold() in NUMBER_WORDS:
            return tail.strip(" .*_")
        if after and not _NUMBER.search(sentence[anchor : after.start()]):
            return _spans_from(sentence, after)
        worded = _WORD.match(tail.lstrip()) and tail.split()[0].lower() not in _MATH_WORDS
        if not (worded or is_prose(tail)) and re.search(r"\d|\\", tail) and not _FOREIGN.search(tail):
            return _number_of(_tidy(RATHER.split(tail)[0]))
        numbers = _NUMBER.findall(tail)
        if numbers:
            return str(numbers[0]).strip()
    if spans:
        return _spans_from(sentence, spans[-1], backward=True)
    found = _NUMBER.findall(sentence)
    money = [number for number in found if re.search(r"[$€£]", number)]
    if found:
        return str((money or found)[0 if money else -1]).strip()
    return None


def _spans_from(text: str, span: re.Match[str], *, backward: bool = False) -> str:
    """The mathematics of a span, with the spans that "and" or a comma joins to it."""
    spans = list(_SPAN.finditer(text))
    at = next(i for i, other in enumerate(spans) if other.start() == span.start())
    first = last = at
    while not backward and last + 1 < len(spans) and _AND.fullmatch(text[spans[last].end() : spans[last + 1].start()]):
        last += 1
    while backward and first > 0 and _AND.fullmatch(text[spans[first - 1].end() : spans[first].start()]):
        first -= 1
    return ", ".join(_DELIMITERS.sub("", other[0]).strip() for other in spans[first : last + 1])


def _number_of(text: str) -> str:
    """`3页` -> `3`; an expression stays whole."""
    number = re.match(
        r"""
        \s*([-−]?[\d.,/]*\d\s?%?)\s*(?:(?=[^\W\d_])[\u0900-\uffff]|[A-Za-z]{0,12}[à-ž])
        """,
        text,
        flags=re.VERBOSE,
    )
    return number[1] if number else _tidy(text)


def _tidy(source: str) -> str:
    text = source
    text = text.strip().strip("*_`").strip().removesuffix(".").strip('"“”')
    if text.endswith(")") and text.count(")") > text.count("(") and "[" not in text:
        text = text[:-1]  # (Answer: 14)
    if re.search(r"[\d)]!\Z", text) and source.rstrip(" *_").endswith("!."):
        return text  # a factorial and a full stop; "14!" alone is an exclamation
    return _DELIMITERS.sub("", text.rstrip(".。।!").strip("*_ "))
