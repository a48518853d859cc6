"""The letter that a text names as its choice where no "Answer: B" states one."""

import re

_MENTIONS = 500  # of letters, the last ones
NEGATED = re.compile(
    r"""
    (?:
        \b
        (?:
            not|isn['’]?t|cannot\ be|can['’]?t\ be|neither|nor|eliminate[sd]?|rules?\ out|ruled\ out
            |reject(?:s|ed)?|instead\ of|rather\ than|unlike|exclude[sd]?|why|against|consider(?:ing)?
            |check(?:ing)?|examin(?:e|ing)|evaluat(?:e|ing)|look(?:ing)?\ at|compar(?:e|ing)
            |(?:what|how)\ about|between|versus|vs\.?|non|nicht|pas|no\ es|не|might\ be|could\ be
            |may\ be|maybe|perhaps
        )
        |不是|错误|非|排除|不选
    )[^\w\n.]*(?:be|just|simply|the|an?|answer|options?|choices?|is|:)?[^\w\n.]*(?:options?|choices?)?
    [^\w\n.]*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
REJECTED = re.compile(
    r"""
    ^[)\]:, \t]*
    (?:
        (?:and|or|[,/&])\s*\(?(?-i:[A-Z])(?!\w)\)?\s*
        |(?!because|since|as\b|while|but|so|is\b|are\b|was\b)[^\W_]+[^\w\n.!?;]{1,2}
    ){0,5}(?:is|are|seems?|looks?|would\ be|was|can\ be)\s+(?:\w+\s+)?
    (?:
        wrong|incorrect|false|not\b|out\b|eliminated|ruled\ out|rejected|excluded|impossible|implausible
        |(?:an?\s|the\s)?(?:(?!but)\w+\s){0,2}
        (?:misconception|mistake|distractor|trap|error|red\ herring)\b
    )
    |^[)\]\"'”]*,?\s*(?:but|and|yet|although|though|which)?\s*(?:that|this|it)?(?:['’]s|\s(?:is|was))\s
    (?:wrong|incorrect|not\ (?:right|correct)|an?\ (?:mistake|trap))\b
    |^[)\]]*\s*[:(\[–—]\s*(?:no|false|wrong|incorrect)(?=\s*(?:[.;,\n)\]]|\Z))
    |^[)\]:]*\s*(?:不对|错误|不正确|is\ n[o']t|isn['’]?t|(?:can['’]?t|cannot)\ be)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_AFFIRMED = re.compile(
    r"""
    ^[)\].:]*\s*(?:is|are|est|es|ist|为|是|seems|must\ be|looks)?\s*
    (?:
        (?!
            only|part|not|as\b(?!\ the)|nearly|almost|never|wrong|incorrect|false|could|would|might
            |may\b|if\b|and\b|or\b
        )\w+\s+
    ){0,3}?(?:the\s+)?
    (?:
        correct|right(?!\s(?!answer|choice|option|one|because|since|as|and|for|here)\w)|best|better
        |true\b|answer|most\s\w+|正确|richtig|korrekt|corretta|certa|верн|верен|правильн|bonne
    )
    |^[)\]]*\s+(?:it\ is(?:,\ then)?|(?:remains|survives|is\ left|works|fits|stands|holds|makes\ sense))
    \W*(?:$|\n)
    |^\s*makes\ (?:the\ )?(?:most\ )?sense
    |^[)\].:]*\s+(?:is|remains)\s+the\s+(?:only|sole)\s+(?:one|option|choice|answer|candidate|possibility)
    (?:
        \s(?:that|which|whose|consistent|compatible|with|left|remaining|matching|satisfying|fitting|supported|to)\b
        (?![^.\n]{0,120}(?:\b(?:not|no|never|incorrect|wrong|false|fails?|violates?|contradicts?|cannot)\b|n['’]t\b))
        |\W*$
    )
    |^\s*(?:选项|選項|が|이\s|가\s|項|项)?(?:最|是)?(?:正し|正解|適切|맞|정답|ถูก|正确|正確|符合)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# an option's own line with what it is found to be: "B. green – correct", "| B | ✓ |", "✅ B"
_RIGHT_MARKS, _WRONG_MARKS = "✓✔✅☑", "✗✘❌☒"
_OPTION_LINE = re.compile(
    rf"""
    ^[\s>|•*–-]{{0,9}}
    (?P<mark>
        [{_RIGHT_MARKS}{_WRONG_MARKS}])?[\s:]{{0,3}}(?:\d{{1,2}}[.)]\s{{1,3}})?
        (?:(?:option|statement|choice)\s)?[(\[]?(?P<letter>(?-i:[A-Z]))(?![\w'’])(?P<rest>.{{0,400}})
    $
    """,
    re.MULTILINE | re.IGNORECASE | re.VERBOSE,
)
_FOUND = r"(?P<wrong>incorrect|wrong|false|not\ correct|not\ true|no|untrue|×)|correct|right|true|yes"
_FOUND_AT_END = re.compile(
    rf"""
    (?:[-–—:|(\[→⇒]|[-=]>|[.,!]\s)\s*(?:(?:so|this\ is|that['’]s|is|therefore)\s+){{0,2}}(?:{_FOUND})
    [^\w\n]*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_FOUND_AT_START = re.compile(
    rf"""
    [)\]\s.:|–—→=>-]*(?:(?:this\ is|this\ statement\ is|is|so)\s+)?(?:{_FOUND})
    (?:\s*[.,;:!|(–—-]|\s+(?:because|since|as)\b|\W*$)
    """,
    re.IGNORECASE | re.VERBOSE,
)
# what options are found to be within a line: "A (incorrect), B (correct)", "A、B 均错误，C 正确"
_FOUND_INLINE = re.compile(
    r"""
    (?<![\w'’])(?P<letter>[A-Z])[)\]]?\s?(?:[(\[]|:\s?|[–—-]\s)
    (?:(?P<wrong>incorrect|wrong|false|not\ correct|not\ true|untrue)|correct|right|true)(?=[)\]]|\s?[,;.]|\s*\Z)
    |(?<![A-Za-z0-9'’])(?P<letters>(?:[A-Z](?:选?项|選?項)?\s?[、,和及与與]\s?){0,9}[A-Z])\s?(?:选?项|選?項)?\s?(?:的|是|为|說法|说法)?
    (?:均|都|皆|全|也)?(?:是|为)?\s?
    (?:(?P<mistaken>错|錯|不正[确確]|不对|不對|不成立|不符合|有[误誤])|正[确確]|对(?!应|比|于|称)|成立|符合)
    """,
    re.VERBOSE,
)
_HEAD_LINE = re.compile(r"\s*[(\[]?([A-Z])[)\]]?\.?\s*\n")
# "the wrong answer is", "a common mistake is"
_OF_OTHERS = re.compile(
    r"""
    \b(?:wrong|incorrect|false|common|tempting|naive)\s(?:\w+\s)?(?:answers?|choices?|options?|mistake|guess)(?:\sto\spick)?
    (?:\s(?:is|was|would\ be)|\s?:)\s*(?:option\s|choice\s)?[(\[]?$
    """,
    re.IGNORECASE | re.VERBOSE,
)
# what others would say, or nobody knows
DOUBTED = re.compile(
    r"""
    (?:
        \b
        (?:
            (?:do|does|did)(?:n['’]t|\ not)\ (?:think|believe|know|see)|whether|tempted\ to
            |(?:can['’]?t|cannot)\ possibly
            |(?:many|most(?:\ people)?|some|others|one|students|people)[ ]
            (?:would|may|might|could|will|say|think)
        )(?:\s[\w'’]+){0,4}
        |\bif(?:\s[\w'’]+){0,2}
    )\s*[(\[]?$
    """,
    re.IGNORECASE | re.VERBOSE,
)
# words right before a letter that make it the choice
_LEADS = re.compile(
    r"""
    (?:
        \b
        (?:
            (?:chang|switch|revis|updat)\w+(?:\ my|\ the)?(?:\ final)?(?:\ answer|\ choice)?\ to
            |(?:would|['’]d|to)\ say|lean\w*\ to(?:wards?)?
            |(?:go|going|settl\w+|vote|opt|stick\w*|stand|confident|land\w*)\s(?:for|on|in|by|with)
            |choos(?:e|ing)|chose|select(?:ed|ing)?|pick(?:ed|ing)?|conclude|get|best\ guess|mark
            |expects|likely|probably|(?:closest|nearest)\ to|favou?rs?|points?\ to|it['’]?s|it\ is
            |that['’]s|is|be|answer|is\ (?:graph|figure|statement|diagram|structure|plot|curve|image)
            |rather|therefore,?|thus,?|so,?|hence,?|only|definitely|clearly,?|obviously,?|surely
            |actually|namely|arrive\ at|leaving|leaves(?:\ us)?(?:\ with)?|left\ with|remaining|remains
            |doubt,|elimination,|exclusion,|(?:not|\w+n['’]t)\ \(?[A-Z]\)?[^.\n]{0,40}?,?\ but|sondern
            |sino|(?:ist|est|es|é|è|sia|je)(?:\ la|\ a|\ o|\ il|\ die|\ le)?|jest|adalah|là|opción|opção
            |choisis|choix|wähle|elijo|escolho|scelgo|chọn|выбираю
        )
        |选项?|只有|选择|選|为|是|[:：→⇒∴]|=>|->
    )[\s:(\[\"“]*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
# a sentence that starts so, and what says in it that things are otherwise
_IF = re.compile(
    r"""
    [^\w(\[]{0,9}(?P<aside>[(\[]\W{0,9})?
    (?P<note>
        (?:note|remark|caveat|aside|side\ note|comment|n\.?b\.?|p\.?s\.?|anmerkung|hinweis|remarque|nota|注意?|备注)
        (?![^\W_])\W{0,9}(?:that\s|dass\s|que\s)?\W{0,9}
    )?
    (?:(?:but|however|of\ course|by\ contrast|in\ contrast|conversely|similarly|likewise|also|and)\b,?\s)?
    (?:
        (?:even\s|only\s)?(?!if\s(?:i|we|you|one|forced|pressed|pushed|needed)\s(?:had|were|was|have|am|are|must|to)\b)
        (?:if|had|were|should|suppose|supposing|assuming|unless|in\ case|falls|wenn|hätte|wäre|si)\b
        |如果|若|假如|假设
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_OTHERWISE = re.compile(
    r"""
    \b
    (?:
        would|had|were|asked|asks|asking|instead|wanted|meant|different|reversed|swapped|wäre|würde|gefragt|hätte|serait
        |sería|seria|fuera|était
    )\b
    |问的|要求的?是|改为|换成|改成|就是|则是
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WOULD = re.compile(r"\b(?:would|could|might)\b", re.IGNORECASE)
_IF_BEHIND = re.compile(
    r"""
    [)\]]?,?\s(?:only\s)?(?:if|had|were|in\ case)\b(?!\s(?:any|at\ all|(?:i|we|one)\s(?:had|were|have)\sto))
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|[。！？\n]")
# what takes an answer back, where a sentence or a clause starts
CORRECTED = re.compile(
    r"""
    (?:(?<=[.!?…—\n])|(?<=[.…—,;-]\s)|(?<=[!?]\s)|(?<=\n))\s*[(\[—-]?\s*
    (?:(?:but|oh|hmm+|no|oops|sorry|and|so)\b[,.…]*\s*){0,3}
    (?:
        wait|hold\ on|hmm+|oops|correction|scratch\ that|on\ second\ thought|actually
        |let\ me\ (?:re|double)
        |i\ (?:mis\w+|made\ a|was\ wrong|take\ that\ back|chang\w+|need\ to\ correct)|no,
        |that['’]s\ (?:wrong|not\ right)
    )
    """,
    re.IGNORECASE | re.VERBOSE,
)
# words that follow the choice A, not the article
_NOT_AN_ARTICLE = re.compile(
    r"""
    \s+
    (?:
        it\ is|is|because|since|seems|must|makes|here|es|est|è|é|верен|non|not|richtig|korrekt
        |the\ (?:correct|right|best|only)
    )\b
    """,
    re.VERBOSE,
)
# a letter with these behind it is a quantity: A = 3, C + D, A(t), A_{1}, A \\approx 3, C - 4 = 1
_IN_FORMULA = r"\s*(?:[*^](?!>)|=(?!>)|[+⇌<>≈≤≥∪∩∈×·]|\\(?!n)[a-z]|(?:→|->|⟶)\s*[A-Z](?!\w)|[-−]\s*\w+\s*=)|[({\\]"
_FORMULA = re.compile(r"(?:[+⇌]|(?<!\w)[A-Z]\s*(?:→|->|⟶|\\to|\\rightarrow))\s*$")  # C + D, A → B
_AND = r"(?:[,/&、]|,?\s*(?:and|or|et|ou|und|oder|y|e|o|и|или|或|和))"
_SEVERAL = re.compile(r"[)\]]?\s*(?:are|sont|son|são|sind|sono|could|can|may|might|would|seem)\b")
# a short clause before a letter that ends the sentence: "no wait, B.", "In short, C."
_INSTEAD = re.compile(
    r"""
    (?:
        (?:wait|no|sorry|thought|correction)[,:]
        |(?:\A|[.!?\n]\s*)(?:(?:in|for|by|with|on|from|after|given|based)\s(?:[\w'’]+\s){0,4}[\w'’]+,)
    )\s*[(\[]?$
    """,
    re.IGNORECASE | re.VERBOSE,
)
# what is said of a thing that has the letter as its name: "B is oxidized to C", "A is positive definite"
_PREDICATE = re.compile(
    r"""
    \s+
    (?:
        is|are|was|has|have|had|reacts?|forms?|denotes?|represents?|equals?|becomes?|undergoes|contains?
        |acts?|then|increases?|decreases?|binds?|converts?|moves?|lies|gives?|produces?|inhibits?
        |stands\ for
    )\s+
    (?!
        (?:it|so|therefore|because|since|as|for)\b
        |the\s(?:exception|odd|only|one|right|best|answer|most|least)\b
    )\w
    """,
    re.VERBOSE,
)
NOUN = re.compile(r"(?:options?|choices?|letter|statement)[\s(\[\"“]*$", re.IGNORECASE)
ENDS = re.compile(
    r"""
    [)\]]?\s*(?:[.;!\n(]|[—–-]\s|\Z|because|since|as\b|best|(?<=[\s)])which|(?<=\)),)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_QUESTION = re.compile(r"[^.!?\n]*\?")
_LISTED = re.compile(r"^[\s>*(\[-]{0,6}([A-Z])[).:\]](?!\w)", re.MULTILINE)
MORE = re.compile(
    r"""
    ^[)\].\"'”]*\s*(?:[,/&+;]|[ \t](?=[(\[]?[A-Z][)\]]?\s*(?:\n|\Z))
        |,?\s*(?:and|or|и|et|und|y|或|和|、)(?:\s(?:option|choice)(?=\s))?
    )
    \s*[(\[]?([A-Z])[)\]]?(?!\w)(?!['’])
    """,
    re.VERBOSE,
)


def named_letter(text: str, letters: str, least: int = 1) -> tuple[str | None, str]:
    """The letter that is named as a choice, and the words that do; without one, None and why, where that is known."""
    verdicts = [
        (line, verdict)
        for line in _OPTION_LINE.finditer(text)
        if line["letter"] in letters and (verdict := _verdict(line)) is not None
    ]
    marked = re.findall(rf"(?<!\w)([{letters}])[)\]]?\s?([{_RIGHT_MARKS}{_WRONG_MARKS}])", text)
    ticked = [letter for letter, mark in marked if mark in _RIGHT_MARKS]
    if len(dict(marked)) > 1 and len(ticked) == 1 and not verdicts:
        return ticked[0], " ".join(map("".join, marked))  # A ✗, B ✓
    if len(verdicts) < 2 and (found := _found_inline(text, letters, least)) is not None:
        return found
    # one option alone that is "False" may be an option of that text
    if not any(verdict for _, verdict in verdicts) and len({line["letter"] for line, _ in verdicts}) < 2:
        return _named(text, letters, least)
    concluded = _named(text[verdicts[-1][0].end() :], letters, 2)
    if concluded[0]:
        return concluded
    right = {line["letter"]: line[0].strip() for line, verdict in verdicts if verdict}
    if len(right) > 1:
        return None, "more than one option is found to be right"
    if right:
        return next(iter(right.items()))
    for line, _ in verdicts:
        text = text[: line.start()] + " " * len(line[0]) + text[line.end() :]
    return _named(text, letters, least)


def _found_inline(text: str, letters: str, least: int) -> tuple[str | None, str] | None:
    """What `named_letter` gives where a line says of several letters whether each is right; None where none does."""
    spans = list(_FOUND_INLINE.finditer(text))
    judged = {
        letter: not (span["wrong"] or span["mistaken"])
        for span in spans
        for letter in re.findall(r"[A-Z]", span["letter"] or span["letters"])
        if letter in letters
    }
    if len(judged) < 2:
        return None
    concluded = _named(text[spans[-1].end() :], letters, 2)
    right = [letter for letter, verdict in judged.items() if verdict]
    if concluded[0]:
        return concluded
    if not right:
        return _named(_FOUND_INLINE.sub(" ", text), letters, least)
    if len(right) > 1:
        return None, "more than one option is found to be right"
    line = text[text.rfind("\n", 0, spans[0].start()) + 1 :].split("\n")[0]
    return right[0], line.strip()


def names_a_thing(after: str) -> bool:
    """Whether what follows a letter speaks of a thing of that name, and not of an option that is right."""
    return _PREDICATE.match(after) is not None and _AFFIRMED.search(after) is None


def supposed(before: str, cue: str, after: str) -> bool:
    """Whether a letter would be the answer to another question: "If it had asked for RNA, the answer would be D"."""
    sentence = _SENTENCE_END.split(before)[-1]
    if _WOULD.search(cue or sentence) and _IF_BEHIND.match(after):
        return True
    start = _IF.match(sentence)
    return start is not None and bool(start["aside"] or start["note"] or _OTHERWISE.search(sentence + cue))


def _is_named_again(text: str, before: str, letter: str) -> bool:
    """Whether "the product is A" names a product that the text calls "product A" as well."""
    noun = re.search(r"\b([A-Za-z]{3,20})\s(?:is|are|was|must be)\s*$", before)
    if noun is None or noun[1].lower() in ("answer", "choice", "option", "letter", "one", "statement"):
        return False
    return re.search(rf"\b{noun[1]}\s+{letter}(?!\w)", text, re.IGNORECASE) is not None


def _verdict(line: re.Match[str]) -> bool | None:
    """Whether an option's line says that the option is right; None where it says nothing of the kind."""
    marks = {
        mark in _RIGHT_MARKS for mark in (line["mark"] or "") + line["rest"] if mark in _RIGHT_MARKS + _WRONG_MARKS
    }
    if len(marks) == 1:
        return marks.pop()
    found = _FOUND_AT_START.match(line["rest"]) or _FOUND_AT_END.search(line["rest"])
    return found["wrong"] is None if found else None


def recites(text: str) -> bool:
    """Whether a text lists options, one below the other."""
    return len(set(_LISTED.findall(text))) > 1


def _named(text: str, letters: str, least: int) -> tuple[str | None, str]:
    """The last letter that is named as a choice, with at least that weight, and not to be rejected."""
    best: tuple[int, int, str, str] | None = None  # weight, position
    bare = re.fullmatch(r"(?:\s*(?:Q|Question )?\d{1,3}[.):]\s)?[^\w?]*([A-Za-z])(?: only)?[^\w?]*", text)
    if bare and bare[1].upper() in letters:
        return bare[1].upper(), bare[0]
    recited = recites(text)
    mentioned = re.finditer(rf"(?<![A-Za-z0-9_'’\\^])([{letters}])(?![A-Za-z0-9_'’^]|-\w|{_IN_FORMULA})", text)
    for match in list(mentioned)[-_MENTIONS:]:
        before, after = text[max(0, match.start() - 100) : match.start()], text[match.end() : match.end() + 200]
        if (
            match[1] in "AI"
            and re.match(r"\s+[a-z]", after)
            and not before.endswith(("only ", "Only "))
            and not NOUN.search(before)
            and not _NOT_AN_ARTICLE.match(after)
        ):
            continue
        if _FORMULA.search(before) or re.search(r"(?<!\w)[A-Z][-–]$", before):
            continue
        opened = re.search(r"(?<![\w\])])[(\[]$", before) is not None  # not the concentrations of k[A][B]
        if DOUBTED.search(before) or NEGATED.search(before.rstrip("([")) or REJECTED.search(after):
            continue
        if _OF_OTHERS.search(before):
            continue
        line = before.rsplit("\n", 1)[-1].strip("([{< >-|\"'“")
        alone = not line and re.match(r"[)\]}>\"'”]*[.!。]?\s*(?:\n|$)", after)
        alone = alone or (re.search(r"[.!?]\s+\(?$", before) and re.match(r"\)?[.!]?\s*\Z", after))
        starts: object = not recited and not line and re.match(r"[)\]]|[.:,。、]|\s[—–-]\s|[\u2e80-\uffff]", after)
        alone = alone or (_INSTEAD.search(before) and re.match(r"[)\]]?\s*(?:[.!]|\Z|\n)", after))
        noun = NOUN.search(before)
        leads = _LEADS.search((before[: noun.start()] if noun else before).rstrip("([ ") + " ") is not None
        leads = leads and not (re.search(r":[\s(\[]*$", before) and re.match(r"\s+[^\W\d_]", after))
        leads = leads or (noun is not None and not re.match(r"\w+s\b", noun[0]) and ENDS.match(after) is not None)
        starts = starts or (before.rstrip()[-1:] in (",", ";") and re.match(r"[):]\s", after) is not None)
        affirmed = _AFFIRMED.search(after) is not None
        if (
            not opened
            and not affirmed
            and not alone
            and not noun
            and (names_a_thing(after) or _is_named_again(text, before, match[1]))
        ):
            continue  # "So C is the speed of light", "the product is A. Product A then …"
        weight = 3 if affirmed or alone else 2 if leads or starts else 1 if opened and after[:1] in (")", "]") else 0
        listed = re.search(rf"(?<![A-Za-z])[{letters}][)\]]?\s*{_AND}\s*[(\[]?$", before)
        more = MORE.match(after)
        together = not affirmed or _SEVERAL.match(after)
        if (listed and together) or (more and more[1] != "I"):
            weight = 0  # one of a list of letters is no choice
        either = re.search(rf"(?<![A-Za-z])[{letters}][)\]]?,?\s*(?:or|/)\s*[(\[]?$", before)
        if either or _QUESTION.match(after) or (recited and not line and not affirmed and not alone):
            weight = 0
        if best is not None and supposed(text[max(0, match.start() - 300) : match.start()], "", after):
            continue
        if weight >= least and (best is None or (weight >= 2) >= (best[0] >= 2)):
            best = (weight, match.start(), match[1], text[max(0, match.start() - 30) : match.end() + 30].strip())
    return _settled(text, letters, best, recited)


def _settled(text: str, letters: str, best: tuple[int, int, str, str] | None, recited: bool) -> tuple[str | None, str]:
    """The letter of the strongest mention, unless the text's first line or its order of the options says more."""
    if (head := _HEAD_LINE.match(text)) and head[1] in letters and (best is None or best[0] < 3):
        return head[1], head[0].strip()
    if best is None:
        order = _LISTED.findall(text)
        if recited and order[0] > order[1] and order[0] in letters and _LISTED.match(text.lstrip()):
            return order[0], text.lstrip()[:60]  # the answer, and then the others in order
        return None, ""
    wrapped = set(re.findall(r"(?<![\w'’])[(\[]([A-Z])[)\]]", text))
    if best[0] == 1 and len(wrapped) > 1:
        return None, ""
    return best[2], best[3]
