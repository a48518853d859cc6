"""Read the answer of a response that has no box: candidates with their position, and what is taken back.

A candidate is a cue ("the answer is", "Final answer:") with what follows it, or the last sentence that states a value.
The last cue wins over sentences; what stands before a retraction ("Wait, …", "Correction:") counts for nothing; a text
that breaks off states nothing but what a cue had stated before.
"""

import re
from dataclasses import dataclass, replace

from evalkit.grading.answers.statement import ANSWER_WORDS, IS_WORDS, RIGHT_WORDS
from evalkit.grading.answers.values import Masked, V, Value, mask

_TAIL = 4_000  # characters of a response that are read
_CUES = 20  # the last cues
_SENTENCES = 8  # the last sentences


@dataclass(frozen=True, slots=True)
class Stated:
    """An answer as it was written, the rule that found it, and its equation's right side where that may be meant."""

    answer: str
    rule: str
    side: str | None = None
    worded: bool = False  # a sentence with numbers in it, none of which is the answer


_RETRACTED = re.compile(
    r"""(?:(?<=[.!?…\n,;–—-])|\A)[\s*_(]*(?:(?:but|oh|oops|no|sorry|so|and|hmm+)\b[,.…!]*\s*){0,3}
    (?:wait\b|hold\son|hmm+\b|scratch\sthat|on\ssecond\sthought|correction\b|oops|actually,?\s(?!the\s(?:answer|value)|it)
      |(?:sorry,?\s)?i\s(?:made\s(?:a|an)|was\swrong|misread|forgot|overlooked|need\sto\scorrect)
      |(?:that|this|it)(?:['’]s|\sis)\s(?:wrong|incorrect|not\s(?:right|correct))|(?:that|this)\s(?:was|can['’]?t\sbe)\s(?:wrong|right|a\smistake))""",
    re.VERBOSE | re.IGNORECASE,
)
_CHECK = 600  # characters of a check behind an answer
_CHECKING = re.compile(
    r"""[\s,.…—-]*(?:
    (?:let\s(?:me|us)\s|let['’]s\s|i(?:['’]ll|\swill)\s)?(?:just\s|quickly\s)?(?:double[-\s]?check|verify|check|confirm|make\ssure)\b
    |(?P<remark>(?:this|that|it)(?:['’]s|\sis)\s(?:an?|the|indeed|also|right|correct|fine|ok|true|well|consistent|just)\b|yes\b))""",
    re.VERBOSE | re.IGNORECASE,
)
_AGAINST = re.compile(
    r"""\b(?:not|no|nor|never|cannot|wrong|incorrect|mistakes?|errors?|forgot|overlooked|miss(?:ed|ing)|misread|should|but|however|instead|again
    |re(?:count|do|check|consider|think|compute|calculate|read)\w*|scratch|oops|sorry|correction|need|must|different|except|unless|made)\b|n['’]t\b""",
    re.VERBOSE | re.IGNORECASE,
)
_AFFIRMED = re.compile(
    r"""\b(?:good|yes|correct|right|ok(?:ay)?|fine|great|perfect|confirmed|holds|works|checks?(?:\sout)?|matches|consistent|true|verified)\W*\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_WRONG = re.compile(r"correction|scratch|mistake|wrong|incorrect|not (?:right|correct)|can['’]?t be", re.IGNORECASE)
# what others said, or what was thought at first: the value in it is none
_OTHERS = re.compile(
    r"""(?:\b(?:initially|at\sfirst|i\s(?:first\s)?thought|first|check|checking|verify|confirm|express)\b[^.\n]*
    |(?:your|student['’]s|['’]s|previous|earlier|initial|wrong|incorrect|his|her|their|tentative|possible|\bno|another|(?:find|know)\sthe)
    \s+(?:final\s)?)\Z""",
    re.VERBOSE | re.IGNORECASE,
)
# "If 0 is counted as natural, the answer is 34", behind an answer without "if"; not "if we add them, the answer is"
_HYPOTHETICAL = re.compile(
    r"""\b(?:if(?!\s(?:and\sonly|not\b|(?:we|you|one)\s(?:add|sum|plug|put|solve|simplify|substitute|multiply|divide|subtract|combine|round|take|do
      |compute|calculate|work)))|unless|assuming|suppos(?:e|ing)|had\s(?:we|the|it|there)|were\s(?:we|the|it|there)|otherwise)\b""",
    re.VERBOSE | re.IGNORECASE,
)
_TENTATIVE = re.compile(r"\b(?:could|might|may|seems?|appears?|perhaps|maybe|possibly)\b", re.IGNORECASE)
_QUALIFIER = (
    r"(?:\s*\([^()\n]{1,60}\)|,[^,.\n:]{1,60},|\s+(?:to|in|of|for|as|rounded|therefore|thus|hence|then|clearly|here|will)"
    r"\b[^.\n:=]{0,120}?|\s+\(?[a-z]\)?(?=\s*[:=])|\s+(?:that\s)?(?:we|i)\s(?:get|obtain|find|have|seek|want))?"
)
_CUE = re.compile(
    rf"""(?:(?<![^\W_])|(?<=[\u2e80-\uffff]))
    (?P<final>(?:final|correct|réponse\sfinale|respuesta\sfinal|endgültige|最终|最后)\s*)?
    (?:(?P<noun>{ANSWER_WORDS}|(?<=final\s)(?:result|value)|(?<=correct\s)(?:result|value|option|choice))(?![a-zà-ž])
        (?:\s+(?:{RIGHT_WORDS}))?)
    {_QUALIFIER}
    (?P<mark>[\s*_"'’`]*(?:(?:is|are|was|be|must\sbe|should\sbe|would\sbe|will\sbe|could\sbe|might\sbe|may\sbe|equals|(?:turns|comes|works)\sout\s(?:to\sbe|to|as)|comes\sto(?:\sbe)?|{IS_WORDS})(?![a-zA-Z])
        (?:\s*[:：])?|[:：=→⇒]|–|—|[-=]>|-(?=\s)|[.](?=\s+{V})|(?<=[\u2e80-\uffff])(?=\s*{V})|[*_]*\s*\n)[\s*_"'’`]*(?:\(final\)\s*)?)""",
    re.VERBOSE | re.IGNORECASE,
)
# "Answer 9" on a line of its own
_BARE_CUE = re.compile(rf"^[\s*_#>]*(?:final\s)?(?:{ANSWER_WORDS})[\s*_]+(?={V})", re.IGNORECASE | re.MULTILINE)
_BACKWARD = re.compile(
    rf"""
    ({V})[\s*_]*
    (?:
        \s(?:is|as)\s(?:therefore\s|thus\s|then\s)?(?:the|my|our)\s(?:final\s|correct\s)?
        (?:answer|result|solution)\b
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# words that may stand between a cue and its value
_LEAD = re.compile(
    rf"""[\s*_"'“”’`,:：~]*(?:(?:therefore|thus|hence|then|the|an?|simply|exactly|precisely|equal(?:s|\sto)?|given\sby|that|number|value
    |integer|fraction|(?:half-)?(?:open|closed)?\s?interval|point|set|ordered|pair|tuple|triple|vector|matrix|expression|polynomial|total
    |approximately|approx\.?|about|roughly|only|just|indeed|actually|now|clearly|definitely|certainly|still|also|found\sto\sbe|to\sbe|as|it|it['’]s
    |sum|product|of|is|are|be|was|letter|option|obtained|after\s\w+(?=,)|i\sget|we\s(?:get|have|obtain|find)|(?:not\s{V},?\sbut)(?:\srather)?
    |[^\W\d_](?=\s*[=:])|there|out)[\s*_"'“”’`,:：=]+){{0,8}}[\s*_"'“”’`,:：=\-–—]*(?={V})""",
    re.VERBOSE | re.IGNORECASE,
)
_LABELLED = re.compile(rf"[\s*_]*(?P<label>\([A-J]\))[\s*_]*(?P<value>{V})[.*_]*[^\S\n]*(?:\n|\Z)")  # (C) 12
# words right before or behind a value that make it a bound, a part of something or a label
_BOUND = (
    r"(?:at\s(?:least|most)|(?:more|less|greater|smaller|larger|bigger|fewer|other|rather)\sthan|exceeds?|between|either|around|near|nearly|almost"
    r"|multiples?\sof|powers?\sof|squares?\sof|square\sroots?\sof|cubes?\sof|divisible\sby|(?:equations?|figures?|steps?|cases?|parts?|questions?"
    r"|problems?|tables?|sections?|theorems?|lemmas?|lines?|pages?|options?|exercises?|examples?|per|eq\.|no\.|grade)|attempts?|trying"
    r"|within|until|than|about\show|not|never|n['’]t(?:\sbe)?|cannot\sbe|nor|neither|except|excluding|if|suppose\sthat|assume|let)"
)
_BOUNDED = re.compile(rf"\b{_BOUND}\s*(?:the\s|to\s|equal\sto\s|be\s|also\s)?[\s*_(]*({V})", re.IGNORECASE)
# "5 is not the answer", "we reject x = 12", "12 does not work"
_DENIED = re.compile(
    rf"""
    (?:\b(?:reject(?:s|ed|ing)?|discard(?:s|ed|ing)?|exclud(?:es?|ed|ing)|rul(?:es?|ed|ing)\sout)\s(?:the\s\w+\s)?)({V})
    |({V})[\s*_]*\s
        (?:
            (?:(?:is|are|was|were)|(?:does|do|did|would|will|can))(?:\snot|n['’]t)\b|cannot\b|fails?\b
            |(?:is|are|was|were|must\sbe|can\sbe|has\sto\sbe)\s(?:\w+\s)?(?:rejected|discarded|extraneous|excluded|ruled\sout
                |in(?:valid|admissible|feasible|correct)|impossible|wrong)\b
        )
    """,
    re.VERBOSE | re.IGNORECASE,
)
# a sentence that ends with what is to be found: "Given that the perimeter is 12, find the area."
_ASKS = re.compile(
    r"""
    (?:\A|,)\s*(?:and\s|so\s|now\s)?
    (?:
        (?:(?:we|i|you)\s(?:now\s|still\s|first\s)?(?:need|want|have|are\sasked|are\sto|must|should|can)\s(?:to\s|now\s)?|let['’]s\s|let\sus\s)
        |(?=(?:find|determine|calculate|compute|evaluate)\b)
    )
    (?:find|determine|calculate|compute|evaluate|work\sout|figure\sout)\b[^\ue000-\uefff]*\Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CASE = re.compile(rf"\A[\W_]*case\s(?:{V}|[ivx]+|[a-h])[\s*_]*[:.)]", re.IGNORECASE)
_RELATIVE = re.compile(
    r"""
    [\s*_]*(?:\w+\s)?
    (?:
        less\ than|more\ than|fewer\ than|times\ (?:as|the)|or\ (?:more|less|so|fewer)\b|attempts?\b
        |steps?\b|years\ (?:older|younger)
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_RATHER = re.compile(
    rf"""
    (?:,\s*|(?<={V})\s)(?:and\ not|but\ not|not|rather\ than|instead\ of)\s[^.\n]{{0,20}}?{V}
    [^.,;\n]{{0,30}}
    """,
    re.VERBOSE,
)
_NOT_BUT = re.compile(rf"\bnot\s[^.\n]{{0,30}}?{V}?[^.\n]{{0,20}}?,?\s?but\s(?:rather\s|actually\s)?", re.IGNORECASE)
_PARENTHESIS = re.compile(rf"\s\((?:[^()\n]*[A-Za-z]{{2}}[^()\n]*|{V})\)")
# "12π, which is about 37.7": the rounded value of the exact one before it
_ABOUT = re.compile(
    rf"""(?P<exact>{V})(?P<unit>(?:\s[A-Za-z]+){{0,3}}?)(?:,?\s(?:which|that)\s(?:is|equals)|[,;]?\sor|,\si\.e\.,?|,)?\s
    (?:(?:about|approximately|roughly|around|approx\.?|nearly)(?:\sequal\sto)?|≈)\s(?P<rounded>{V})(?:\s[A-Za-z]+){{0,3}}?(?=[.,;\s*_]*\Z)""",
    re.VERBOSE | re.IGNORECASE,
)
_EXACT = re.compile(r"\\(?:pi|[dt]?frac|sqrt|ln|log|e)\b|[π√/^]|\\sqrt")
_LEADING = re.compile(
    rf"""\A[\s*_#>-]*(?:(?:but|and|so|now|then|thus|also)\s)?
    (?:since|because|as|if|when|given|using|by|from|after|for|with|in|at|on|of|out\sof|plugging|setting|substituting|solving|dividing|multiplying
      |adding|subtracting|rounding|rounded|comparing|knowing|taking|to|once|while|although|though|assuming|combining|recall\sthat|note\sthat)\b
    [^,;]*{V}?[^,;]*[,;]\s*(?:then\s|we\s(?:have|get|find)(?:\sthat)?\s)?""",
    re.VERBOSE | re.IGNORECASE,
)
_TRAILING = re.compile(
    rf"""(?P<kept>{V}[^\ue000-\uefff]{{0,60}}?)(?:[,;:]?\s+|[,;:]\s*)
    (?:since|because|as(?!\s(?:the|our|my|an?)\s(?:answer|result|sum|value))|where(?!\s(?:the|its)\s\w+\s(?:is|equals)\s{V})|when(?:ever)?|namely|for(?!\sa\s(?:\w+\s)?(?:total|profit|sum|cost)\b)|with|if|attained|achieved|provided|given\sthat|so\sthat
      |such\sthat|whereas|while|although|though|but(?!\s(?:it|the\s\w+|this|actually)\s[^.]*{V})|regardless|due\sto|assuming|at\swhich|at\s(?P<place>{V})
      |which(?!\s(?:is|are|equals|gives|yields|simplif\w+|reduces|has|makes|means|implies|leaves|leads|we\scan|becomes|comes|amounts|totals)\b[^.]*{V})|who|whose|satisf\w+|we\sverify
      |(?:the|thus\sthe)\s(?:other|remaining)\b|minus\b|per\s{V})(?:\b|(?<={V})).*\Z""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_ANCHOR = re.compile(
    rf"""(?:(?<![A-Za-zÀ-ž])(?:is|are|was|were|be|equals?|gives?|gave|yields?|gets?|got|makes?|made|means|totals?|total\sof|becomes?|costs?|comes\sto|amounts\sto
      |simplif(?:ies|y)\sto|reduces?\sto|leaves|leaving|giving|has|have|had|needs?|takes?|contains?|holds?|obtain|find|conclude\sthat|it['’]s|that['’]s
      |spends?|spent|pays?|paid|earn(?:s|ed)?|measures?|there\s(?:is|are|were|will\sbe)|or|namely|est|es|ist|è|sono|son|là|jest|gibt\ses|hay|y\sa)(?![A-Za-zÀ-ž])|[=≈:：]|是|为|為|は|है|هو|คือ)
    (?P<between>[\s*_"“”,]*(?:(?!not\b|no\b)[A-Za-z’'-]+[\s*_]+){{0,4}}?)(?P<value>{V})""",
    re.VERBOSE | re.IGNORECASE,
)
_OUT_OF = re.compile(rf"({V})[^\S\n]+(?:[a-z]+\s)?of\s(?:the|these|those|all|its|his|her|their)\s{V}", re.IGNORECASE)
_SUBJECT = re.compile(
    rf"""
    ({V})(?:\s[a-z]+){{0,2}}\s(?:is|are|was)\s(?:the|therefore|thus|our|what|an?|her|his|their|its)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_CLAUSE = re.compile(
    r"""
    \s(?:leaving|giving)\s|\sso\s(?!much|many|far|on\b|long|that\s(?!mean))
    |(?:,|;|\.|—)\s*(?:and\s)?
    (?:
        so|thus|hence|therefore|giving|meaning
        |which\s(?:means|gives|makes|is|equals|yields|simplifies\sto|has)|making|leaving
        |which\s(?:implies|leaves|leads|we\scan)|for\sa\s(?:net\s|final\s)?\w*|then|or
    )\b
    |\b(?:but|and)\s(?:it|the\s\w+|this)\sis\sactually\b|[,;]\sbut\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_HEDGED = re.compile(
    r"""\?\s*[*_"”)]*\s*\Z|(?<![a-z])(?:not\ssure|could(?:n['’]t|\snot)|(?:may\s(?:be|have)|could(?!\shave)|might)(?!.*\s(?:is|are|equals?)\s(?:\w+\s){0,2}[\ue000-\uefff])|can(?:not|['’]t)|unable|unclear|unfortunately|ran\sout\sof
    |don['’]t\sknow|perhaps|maybe|possibly|i\sguess|(?:does|do|did|is|are)(?:n['’]t|\snot)(?=\s(?:\w+\s){0,4}[\ue000-\uefff])|never|wrong|incorrect|extraneous)(?![a-z])""",
    re.VERBOSE | re.IGNORECASE,
)
_GIVES_UP = re.compile(
    r"""
    \b
    (?:
        (?:do|does|did|could)(?:n['’]t|\ not)\ (?:know|find|solve|determine)
        |(?:cannot|can['’]t|unable\ to|not\ able\ to)\ (?:determine|find|solve|answer)
    )\b(?!.*\b(?:but|so|however|therefore)\b)
    """,
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
# sentences that begin or announce work
_WORK = re.compile(
    r"""\A[\W_]*(?:let(?:['’]s|\sus|\sme|\s[^\W\d_]\b|\s[\ue000-\uefff])|we\s(?:start|begin|want|are\sgiven|know|can\ssee|note|must\sfind)|first\b|next\b
    |now,?\swe\s(?!get|have|see|find)|hint|consider|suppose|assume|to\s(?:find|get|obtain|determine)\s(?:the|our|a)\s(?:final\s)?(?:answer|value|solution)|step\s[\ue000-\uefff][\s*_]*[:.]?\s*\Z|case\s[\ue000-\uefff])
    (?!.*\b(?:so|thus|hence|therefore|we\sget|gives?|is\s[\ue000-\uefff])|.*[:：].*[\ue000-\uefff])""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
_ABOUT_THE_ANSWER = re.compile(
    r"""
    [\W_]*(?:so|therefore|thus|hence)?,?\s*(?:the|this|our|my|an)?\s*(?:final\s|correct\s)?answer\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
# remarks and checks behind an answer
_ASIDE = re.compile(
    r"""\A\s*\(.*\)\W*\Z
    |\A[\W_]*(?:I\shope|hope\sth|let\sme\sknow|note\b|recall|alternatively|thank|if\syou|feel\sfree|remark
      |check(?:ing)?\b(?!,?\swe)|verif|to\sverify|we\s(?:can\s|may\s)?(?:verify|check)|let['’]?s?\sverify|as\sa\scheck|\(?testing
      |indeed\b|this\s(?:completes|matches|confirms|is\sconsistent)|(?:the|this)\sanswer\s(?:makes|is\sconsistent|matches)
      |it\s(?:matches|checks)|the\scalculations|in\sthis\s(?:diagram|figure)|for\s(?:example|instance)\b|e\.g\.
      |(?:the|a)\s(?:graph|diagram|figure|plot)\b.*\bshown\b)""",
    re.VERBOSE | re.IGNORECASE,
)
_SPLIT = re.compile(
    rf"""
    (?<=[.!?])[*_\"”)]*\s+(?=\S)|(?<=[。！？।])\s*|\n\s*\n|\n(?=\s*(?:[-*#•>]|[A-Z(\[*_]|{V}))|(?<={V})\n
    """,
    re.VERBOSE,
)
_BREAKS_OFF = re.compile(
    rf"""(?:[=+×·/<>≤≥&(\[\\]|(?<=\s)\*|(?<=\s)[-–]|[:：,;]|\\(?:times|cdot|frac|left|sqrt|pm|approx|leq?|geq?)\s*\{{?|\.\.\.|…)[\s$]*\Z
    |(?:\A|\s)(?!A\Z|AN\Z)(?:and|so|then|we|the|is|are|of|to|that|but|or|with|for|have|get|gets|let|consider|need|find|compute|using|since|because|where|which
      |an?|by|on|in|at|from|as|if|can|must|should|now|next|this|it|its|gives|equals|and\seach|therefore|thus|hence|step|will|be|has|was|were|their|his|her)
      \s*\Z
    |{V}\s(?:and|so|or|but)\s(?:\w+\s){{0,3}}\w+\s*\Z""",
    re.VERBOSE | re.IGNORECASE,
)
_WORDED_LEAD = re.compile(r"\A[\s*_\"'“”’`,:：]+")
_NO_STATEMENT = re.compile(
    r"""[\s*_]*(?:not\b(?!\s[^.\n]*but)|cannot|can['’]t|unclear|unknown|shown|found\s(?:in|at|by|after)|given\s(?:in|at|above|below)|clear\b|correct\b|wrong\b
    |consistent|consist|reasonable|valid\b|right\b|incorrect|after\b|before\b|within|from\b|explained|described|in\s(?:equation|figure)|bas(?:ed|ic)
    |worth|needed|required|to\b|known|obtained\sby|expected\s(?:to|in)|supposed|going\sto|determined|what\b|how\b|asked|therefore\s*\Z)""",
    re.VERBOSE | re.IGNORECASE,
)
_BOLD = re.compile(rf"\*\*([^*\n]{{0,40}}?{V}[^*\n]{{0,30}}?)\*\*")


def masked_end(response: str) -> Masked:
    """The end of a response with its values masked: what `read_statement` reads."""
    return mask(response[-_TAIL:].rstrip())


def read_statement(masked: Masked) -> Stated | None:
    """The answer that a response states in words; None where it states none."""
    at, text = 0, masked.text
    for match in list(_RETRACTED.finditer(text)):
        if _is_check(masked, match):
            text = text[: match.start()].rstrip()
            break
        at = match.end()
    after = Masked(text[at:], masked.values)
    cue = _last_cue(after)
    if cue is not None:
        return cue
    return None if breaks_off(after.text) or _unfinished(after.text) else _last_sentence(after)


def _is_check(masked: Masked, retraction: re.Match[str]) -> bool:
    """Whether what follows "Hold on, …" is a check that confirms, or a remark, and states no other answer."""
    rest = masked.text[retraction.end() :]
    if len(rest) > _CHECK or not (check := _CHECKING.match(rest)) or _AGAINST.search(retraction[0] + rest):
        return False
    if re.search(V, rest) and (check["remark"] or not _AFFIRMED.search(rest)):
        return False
    return not breaks_off(rest) and not _unfinished(rest) and _last_cue(Masked(rest, masked.values)) is None


def value_at(text: str) -> str | None:
    """The value that a text begins with, where an answer is due: "9", "the interval (0, 1)", "no solution"."""
    masked = mask(text)
    stated = _after_cue(masked, masked.text)
    return stated.answer if stated else None


def later_final_answer(tail: str) -> Stated | None:
    """A final answer that stands behind a box, with its value at once behind its cue."""
    masked = masked_end(tail)
    cue = _last_cue(masked, behind_box=True)
    return (
        cue if cue is not None and cue.rule == "final answer" and not cue.worded and _DIGIT.search(cue.answer) else None
    )


_DIGIT = re.compile(r"[\d\\]")


def breaks_off(text: str) -> bool:
    """Whether a text ends in the middle of a sentence or a formula."""
    end = re.sub(r"(?:\*\*|__|\s)+\Z", "", text[-300:])
    if _BREAKS_OFF.search(end):
        return True
    if len(re.findall(r"(?<!\\)\$", text)) % 2 and re.search(r"\$[^$\n]*[\\=^_][^$\n]*\Z", end):
        return True
    return max(text.rfind("\\["), text.rfind("\\(")) > max(text.rfind("\\]"), text.rfind("\\)"))


def _unfinished(text: str) -> bool:
    """Whether the last sentence, which states no value, was cut off: "Next, we simplify th"."""
    last = _SPLIT.split(text)[-1] or ""
    words = re.findall(r"[^\W\d_]+", last)
    before = [piece for piece in _SPLIT.split(text)[:-1] if piece and len(re.findall(r"[^\W\d_]{2,}", piece)) >= 4]
    ended = sum(piece.rstrip(" *_)")[-1:] in (".", "!", "?", ":") for piece in before)
    if len(before) >= 3 and ended >= 0.8 * len(before) and len(words) >= 3 and re.search(r"[a-z]\Z", last.rstrip()):
        return not _ASIDE.search(last)  # every other sentence has its end
    return len(words) >= 3 and not re.search(V, last) and last.rstrip()[-1:].isalnum() and not _ASIDE.search(last)


def takes_back(text: str) -> bool:
    """Whether a text says that what stood before it is wrong: "That is not right"; not "Wait, …" alone."""
    return any(_WRONG.search(text[match.start() : match.end() + 40]) for match in _RETRACTED.finditer(text[:_TAIL]))


def _last_cue(masked: Masked, *, behind_box: bool = False) -> Stated | None:
    """The last answer behind a cue; one that rests on an "if" only where nothing else is stated."""
    text = masked.text
    found = [(match.end(), match) for match in _CUE.finditer(text)] + [
        (match.end(), match) for match in _BARE_CUE.finditer(text)
    ]
    stated: list[tuple[int, Stated]] = []
    supposed: list[tuple[int, Stated]] = []
    for end, match in sorted(found, key=lambda item: item[0])[-_CUES:]:
        before = text[max(0, match.start() - 200) : match.start()]
        sentence = re.split(r"[.!?\n]", before)[-1]
        line = sentence[-80:]
        if match.groupdict().get("mark", "").strip() == "." and line.strip(" *_#"):
            continue  # "I do not know the answer. 7 people …"
        if _OTHERS.search(line):
            continue
        tentative = _TENTATIVE.search(line + match[0]) and "\n" not in match[0].strip()
        clause = re.search(r"[:：\n]\W*\Z", match[0]) is not None
        value = _after_cue(masked, text[end : end + 400], clause=clause)
        if value is not None and "ption" in match[0][-12:] and not re.fullmatch(r"\W*[A-Z]\W*", value.answer):
            continue  # "the correct option is the second one"
        if value is not None and (not tentative or ", " in value.answer):
            rule = "final answer" if re.search(r"final|correct|最终|最后", match[0], re.IGNORECASE) else "answer"
            behind = re.split(r"[.!?\n]", text[end : end + 100])[0] if "would be" in match[0] else ""
            found_in = supposed if _HYPOTHETICAL.search(sentence) or re.search(r"\bif\b", behind) else stated
            found_in.append((match.start(), replace(value, rule=rule)))
    for match in _BACKWARD.finditer(text):
        value_of = masked.value(match[1])
        line = re.split(r"[.!?\n]", text[max(0, match.start() - 80) : match.start()])[-1]
        if not _TENTATIVE.search(line) and not re.search(r"\bnot\b|n['’]t\b", match[0] + line):
            stated.append((match.start(), Stated(value_of.text, "answer", value_of.meant)))
    given = stated or ([] if behind_box else supposed)
    return max(given, key=lambda item: item[0])[1] if given else None


def _after_cue(masked: Masked, after: str, *, clause: bool = False) -> Stated | None:
    """What stands where an answer is due: a value, a sentence that is about one, or words.

    With `clause` (behind a colon or a heading) a sentence may state its value in any way.
    """
    after = _NOT_BUT.sub("", after, count=1)
    if labelled := _LABELLED.match(after):
        value = masked.value(labelled["value"])
        return Stated(f"{labelled['label']} {value.text}", "answer", value.side or value.text)
    lead = _LEAD.match(after)
    if lead is None:
        lead = re.match(rf"[\s*_\"'“”’`:：=({{]*(?={V})", after)
    if lead is not None:
        at = lead.end()
        rest = after[at + 1 :]
        if re.search(r"\b(?:either|between)\b", lead[0]) or _RELATIVE.match(rest) or re.match(r"[\s*_]*\?", rest):
            return None
        value = masked.value(after[at])
        return Stated(value.text, "answer", value.meant)
    pieces = _SPLIT.split(after.lstrip())
    sentence = pieces[0].split("\n")[0]
    if pieces[0].rstrip(" *_").endswith((":", "：")):
        following = next((piece for piece in pieces[1:] if piece and piece.strip()), "")
        if leading := re.match(rf"[\s*_]*({V})", following):
            return _of(masked, leading[1])
    if not sentence.strip(" *_.:#") or sentence.rstrip(" *_").endswith("?") or _NO_STATEMENT.match(sentence):
        return None
    head = re.split(r",?\s(?:because|since|as)\b", sentence)[0]
    if re.search(V, head):
        if (value_of := _sentence_value(masked, sentence)) is not None and (
            clause or re.search(rf"\b(?:is|are|equals?|gives?)[\s*_]+(?:\w+\s)?{V}|=\s*{V}", sentence)
        ):
            return value_of
        words = masked.unmasked(sentence)
        if words.count("{") != words.count("}") or words.count("$") % 2:
            return None  # cut off
        return (
            Stated(words.strip(" .*_"), "answer", worded=_is_worded(sentence))
            if not _TENTATIVE.search(sentence)
            else None
        )
    words = re.split(
        r"""
        [.;!]\s|,\s(?:because|since|as|which|so|not)\b|\s(?:because|since)\b|\s[—–-]\s
        """,
        _WORDED_LEAD.sub("", sentence),
        flags=re.VERBOSE,
    )[0]
    words = re.sub(r"\A(?:as|it['’]?s|to be)\s", "", words.strip(' .*_"“”!'))
    if words.count("{") != words.count("}") or words.count("$") % 2:
        return None  # cut off
    if len(words) > 120 or not re.search(r"\w", words):
        return None
    return Stated(words, "answer")


def _is_worded(sentence: str) -> bool:
    return re.search(r"(?<![\\A-Za-z])[A-Za-z]{2}", sentence) is not None


def _last_sentence(masked: Masked) -> Stated | None:
    if _GIVES_UP.search(masked.text[-600:]):
        return None
    pieces = _sentences(masked.text)
    for piece in reversed(pieces[-_SENTENCES:]):
        if not re.search(V, piece):
            if _HEDGED.search(piece) and len(piece) < 200 and not _ASIDE.search(piece):
                return None
            continue
        if _ASIDE.search(piece) and not re.search(rf"\b(?:so|therefore|thus|hence)\b.*{V}", piece):
            continue
        if _ABOUT_THE_ANSWER.match(piece):
            return None  # a cue that has stated nothing: "The answer depends on the 6 …"
        return None if _WORK.search(piece) else _sentence_value(masked, piece)
    return None


def _sentences(text: str) -> list[str]:
    """The sentences of a masked text; a formula on a line of its own belongs to the words that lead to it."""
    pieces: list[str] = []
    for piece in _SPLIT.split(text):
        if not piece or not piece.strip(" *_#-✅\n"):
            continue
        if pieces and re.match(rf"[\s*_]*{V}", piece) and _LEADS_TO.search(pieces[-1]):
            pieces[-1] += " " + piece
        else:
            pieces.append(piece)
    return pieces


_LEADS_TO = re.compile(
    r"""
    (?:
        [:：,]
        |\b
        (?:
            for|is|are|that|get|gets|gives?|have|as|to|equals?|of|obtain|becomes|by|find|since|then|when
            |with
        )
    )[\s*_]*\Z
    """,
    re.IGNORECASE | re.VERBOSE,
)


def _sentence_value(masked: Masked, sentence: str) -> Stated | None:
    """The one value that a sentence states; None where it states several, or none."""
    text = sentence.strip()
    if re.search(r"\?[\s*_\"”)]*\Z", text) or _ASKS.search(text) or _CASE.match(text):
        return None
    bold = _BOLD.findall(text)
    if bold and len(re.findall(V, bold[-1])) == 1:
        return _of(masked, re.findall(V, bold[-1])[0])
    return _with_rounded(masked, text) or _value_of(masked, text)


def _with_rounded(masked: Masked, text: str) -> Stated | None:
    """The exact value of "12π, which is about 37.7", with its rounded value as what may be meant as well."""
    about = _ABOUT.search(text)
    if about is None or not _EXACT.search(masked.value(about["exact"]).text):
        return None
    stated = _value_of(masked, text[: about.end("exact")])
    exact, rounded = masked.value(about["exact"]), masked.value(about["rounded"])
    return replace(stated, side=rounded.side or rounded.text) if stated and stated.answer == exact.text else None


def _value_of(masked: Masked, text: str) -> Stated | None:
    main = _without_trailing(masked, _main_clause(text))
    bounded = {
        match[1]
        for match in _BOUNDED.finditer(main)
        if masked.value(match[1]).side is None or not re.search(r"least|most|exceed", match[0])
    }
    bounded |= {match[1] or match[2] for match in _DENIED.finditer(main)}
    if _HEDGED.search(main):
        return None
    found = [character for character in re.findall(V, main) if character not in bounded]
    if len(found) == 1:
        character = found[0]
        at = main.index(character)
        return None if _RELATIVE.match(main[at + 1 :]) and bounded else _of(masked, character)
    if not found:
        return None
    if out_of := _OUT_OF.search(main):
        return _of(masked, out_of[1])
    if len({(masked.value(character).side or masked.value(character).text).strip() for character in found}) == 1:
        return _of(masked, found[-1])  # "56 + 11 = 67, so there are 67"
    if masked.value(found[-1]).side is not None:
        return _of(masked, found[-1])  # an equation is a statement by itself
    anchors = [match for match in _ANCHOR.finditer(main) if match["value"] not in bounded]
    if anchors:
        last = anchors[-1]
        # "John has 24 marbles and Mary has 12", "3 cats and 4 dogs"
        several = re.search(rf"{V}[^{V[1:-1]}]*\sand\s[^{V[1:-1]},]*\Z", main[: last.start()])
        more = re.match(rf"\s[\w\s]*?\band\s(?:\w+\s){{0,4}}?{V}", main[last.end() :])
        same = several and main[last.start() :].split(" ")[0] in main[: last.start()].split()
        return None if same or more else _of(masked, last["value"])
    subject = _SUBJECT.search(main)
    return _of(masked, subject[1]) if subject else None


def _main_clause(text: str) -> str:
    """The clause of a sentence that states its value."""
    text = _NOT_BUT.sub("", text)
    text = _PARENTHESIS.sub("", _RATHER.sub("", text)) if re.search(V, _PARENTHESIS.sub("", text)) else text
    for pattern in (_LEADING, _LEADING):
        cut = pattern.sub("", text, count=1)
        text = cut if re.search(V, cut) else text
    clauses = [clause for clause in _CLAUSE.split(text) if re.search(V, clause)]
    main = clauses[-1] if clauses else text
    if len(clauses) > 1 and _HEDGED.search(main) and not _HEDGED.search(clauses[-2]):
        main = clauses[-2]
    if listed := re.match(
        rf"(.*\b(?:there\s(?:is|are)|has|have|had)\s[^:]*{V}[^:]*):\s", main, re.IGNORECASE | re.DOTALL
    ):
        return listed[1]
    return main


def _without_trailing(masked: Masked, main: str) -> str:
    """A clause without the reason, the condition or the place behind its value."""
    trailing = _TRAILING.search(main)
    if (
        trailing
        and re.search(rf"(?:=|\b(?:is|are|equals))\s*{V}", main[trailing.end("kept") :])
        and not re.match(r"[,;:]?\s*(?:since|because|when|which|if|where)", main[trailing.end("kept") :])
    ):
        trailing = None  # "for the bill + $10 for the tip = $35"
    if trailing and (
        late := re.search(rf",\s(?:and|but)\s(?:as|since|because)\b[^{V[1:-1]}]*,\s({V})[\s.*_]*\Z", main)
    ):
        trailing = None if masked.value(late[1]).side else trailing  # "x = ±12, and as x is positive, x = 12"
    if trailing and trailing["place"] and not _is_place(masked.value(trailing["place"])):
        trailing = None
    if trailing and (_has_verb(main[: trailing.end("kept")]) or masked.value(main[trailing.start()]).side):
        return main[: trailing.end("kept")]
    return main


def _is_place(value: Value) -> bool:
    """Whether a value behind "at" may be where a function has its value: x = 2, (1, 2), "x = 2, y = 5"."""
    coordinates = re.match(r"[a-z]\s?=[^=,]+,\s[a-z]\s?=", value.text)
    return value.named or coordinates is not None or (value.text.startswith("(") and "," in value.text)


def _has_verb(text: str) -> bool:
    """Whether a value of the text is what something is or has, no value behind a colon."""
    return any(match[0][0] not in ":：" for match in _ANCHOR.finditer(text))


def _of(masked: Masked, character: str) -> Stated:
    value = masked.value(character)
    return Stated(value.text, "conclusion", value.meant)
