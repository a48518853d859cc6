"""The names that the parser knows: wrappers, functions, constants, relations, connectors, words to pass over."""

import re


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


# The one table of wrappers: \text{…} and its like, which change how something looks and not what it is.
# Their argument is words:
TEXT_COMMANDS = words(
    "text textnormal textrm textbf textit textsf texttt textmd textup textsc textsl textlf mbox hbox emph uline"
)
# Their argument is mathematics:
FONT_COMMANDS = words(
    "mathrm mathbf mathit mathsf mathtt mathnormal mathup mathcal mathscr mathfrak mathsfit mathbfit boldsymbol bm pmb "
    "bold frak symbf symrm symit symsf operatorname mathop mathord mathbin mathrel underline ensuremath "
    "smash mathclap"
)
# They stand before what they change: {\bf B}
FONT_SWITCHES = words(
    "rm bf it sf tt sc sl em cal boldmath bfseries itshape rmfamily sffamily ttfamily displaystyle textstyle "
    "scriptstyle scriptscriptstyle limits nolimits tiny scriptsize footnotesize small normalsize large Large LARGE "
    "huge Huge"
)
WRAPPERS = TEXT_COMMANDS | FONT_COMMANDS
# A wrapper's command up to its brace, for patterns that go on with the brace
WRAPPER_COMMAND = rf"\\(?:{'|'.join(sorted(WRAPPERS, reverse=True))})\*?\s*"
_SWITCHES = "|".join(sorted(FONT_SWITCHES, reverse=True))
_WRAPPED = re.compile(
    rf"""
    {WRAPPER_COMMAND}\{{([^{{}}]*)\}}  # \textrm{{B}}
    |\{{\s*\\(?:{_SWITCHES})(?![A-Za-z])\s*([^{{}}]*)\}}  # {{\bf B}}
    |\\(?:{_SWITCHES})(?![A-Za-z])\s*()  # \bf B
    """,
    re.VERBOSE,
)


def is_wrapper(token: str) -> bool:
    """Whether a token is the command of a font or text wrapper."""
    return token[:1] == "\\" and (token[1:] in WRAPPERS or token[1:] in FONT_SWITCHES)


def unwrapped(text: str) -> str:
    r"""The text with every wrapper replaced by what stands in it: `\textrm{B}`, `{\bf B}` and `\bf B` as `B`.

    >>> unwrapped(r"\boxed{\textrm{B}}")
    '\\boxed{B}'
    """
    for _ in range(5 if "\\" in text else 0):
        inner = _WRAPPED.sub(lambda match: match[1] or match[2] or "", text)
        if inner == text:
            break
        text = inner
    return text


FUNCTIONS = words(
    "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc asin acos atan sinh cosh tanh coth sech "
    "csch arcsinh arccosh arctanh arccoth arcsech arccsch asinh acosh atanh acoth asech acsch log ln lg exp "
    "sqrt cbrt min max gcd lcm floor ceil abs det Re Im arg cis deg sgn sign erf Gamma mod binom tr rank dim ker"
)  # fmt: skip
# functions that take one factor without brackets: \sin 2x
PREFIX_FUNCTIONS = FUNCTIONS - {"min", "max", "gcd", "lcm", "mod", "binom"}
# found at the head of a run of letters: sinx, sqrt2
GLUED = ("arcsin", "arccos", "arctan", "sin", "cos", "tan", "sqrt", "log", "ln", "pi", "exp")

GREEK = words(
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi rho sigma tau phi "
    "varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Phi Psi Omega"
)

CONSTANTS = {
    "pi": "pi",
    "infty": "oo",
    "infinity": "oo",
    "Infinity": "oo",
    "inf": "oo",
    "oo": "oo",
    "INF": "oo",
    "exponentialE": "e",
    "imaginaryI": "i",
    "imath": "i",
}

RELATIONS = {
    "=": "=",
    "==": "=",
    "<": "<",
    ">": ">",
    "<=": "<=",
    "=<": "<=",
    ">=": ">=",
    "!=": "!=",
    "<>": "!=",
    "\\le": "<=",
    "\\leq": "<=",
    "\\leqslant": "<=",
    "\\leqq": "<=",
    "\\ge": ">=",
    "\\geq": ">=",
    "\\geqslant": ">=",
    "\\geqq": ">=",
    "\\lt": "<",
    "\\gt": ">",
    "\\ne": "!=",
    "\\neq": "!=",
    "\\in": "in",
    "\\notin": "notin",
    "\\approx": "~",
    "\\sim": "sim",
    "\\simeq": "simeq",
    "\\cong": "cong",
    "\\doteq": "~",
    "\\equiv": "equiv",
    "=>": "->",
    "->": "->",
    "\\Rightarrow": "->",
    "\\implies": "->",
    "\\Longrightarrow": "->",
    "\\to": "->",
    "\\rightarrow": "->",
    "\\mapsto": "->",
    "\\coloneqq": "=",
    "\\triangleq": "=",
    "\\parallel": "parallel",
    "\\nparallel": "not parallel",
    "\\perp": "perp",
    "\\ll": "ll",
    "\\gg": "gg",
    "\\prec": "prec",
    "\\succ": "succ",
    "\\preceq": "preceq",
    "\\succeq": "succeq",
    "\\asymp": "asymp",
    "\\ni": "ni",
    "\\nmid": "not divides",
    "\\vdash": "vdash",
    "\\models": "models",
    "\\supset": "supset",
    "\\supseteq": "supset",
    "\\subsetneq": "proper subset",
    "\\supsetneq": "proper supset",
    "\\nsubseteq": "not subset",
    "\\subset": "subset",
    "\\subseteq": "subset",
    "\\propto": "prop",
    "\\Leftrightarrow": "->",
    "\\iff": "->",
}

SET_OPERATORS = {
    "\\cup": "union",
    "\\cap": "intersection",
    "\\setminus": "difference",
    "\\bigcup": "union",
    "\\backslash": "difference",
}
# operators without a value: what they join is compared as it is written, in its order
OPERATORS = frozenset(
    {
        "\\circ", "\\oplus", "\\otimes", "\\ominus", "\\odot", "\\ltimes", "\\rtimes", "\\triangle",
        "\\bigtriangleup", "\\vartriangle", "\\uplus", "\\sqcup", "\\sqcap", "\\amalg", "\\diamond", "\\dagger",
    }
)  # fmt: skip
TIMES = frozenset({"*", "\\times", "\\cdot", "\\ast", "\\cdotp", "\\bullet", "\\star"})
DIVIDE = frozenset({"/", "\\div"})

CONNECTORS = frozenset(
    {
        "and",
        "or",
        "et",
        "und",
        "y",
        "oder",
        "ou",
        "和",
        "或",
        "与",
        "as well as",
        "and also",
        "with",
        "but",
        "和 ",
        "及",
        "以及",
        "，",
    }
)
CONNECTING_WORDS = frozenset({"and", "or"})

POINTS = frozenset("ABCDMPQRSV")  # names before coordinates: A(1, 2)
# words that no product of letters spells: what holds one is no formula
PROSE = words("no not nor none neither either if is are or unless except without only some all any")
# words that say nothing about the value, before or between
IGNORED = words(
    "about approximately approx roughly exactly around answer is the a an of value are equal to just "
    "total final result so therefore thus hence we get have solution solutions solution set "
    "line plane curve it its Rs INR USD EUR GBP usd is: answer: equals interval points point "
    "matrix vector number"
)  # fmt: skip

_UP_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
)
NUMBER_WORDS = {
    **{word: number for number, word in enumerate(_UP_TO_TWENTY.split(" "))},
    **{
        word: 10 * tens
        for tens, word in enumerate(["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety", "hundred"], 3)
    },
}

# behind a number in words: "two thirds"
PARTS = {
    "half": 2, "halves": 2, "third": 3, "fourth": 4, "quarter": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10, "hundredth": 100,
}  # fmt: skip
MULTIPLES = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

BASE_WORDS = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "sixteen": 16,
}

MATRICES = frozenset({"matrix", "pmatrix", "bmatrix", "Bmatrix", "smallmatrix", "array", "vmatrix", "Vmatrix"})
# marks above a letter: each makes another variable of it, except that \vec only says that it is a vector
ACCENTS = {
    "vec": "vec", "overrightarrow": "vec", "hat": "hat", "widehat": "hat", "tilde": "tilde", "widetilde": "tilde",
    "dot": "dot", "ddot": "ddot", "dddot": "dddot", "overleftarrow": "overleftarrow", "overarc": "arc",
    "overleftrightarrow": "overleftrightarrow", "wideparen": "arc", "widearc": "arc", "check": "check",
    "breve": "breve", "mathring": "ring", "acute": "acute", "grave": "grave",
}  # fmt: skip
# marks in front of a name that say what kind of thing it is
MARKS = {
    "angle": "angle", "measuredangle": "angle", "triangle": "triangle", "bigtriangleup": "triangle",
    "vartriangle": "triangle", "square": "square", "Box": "square", "odot": "circle",
}  # fmt: skip
CURRENCIES = {
    "\\$": "dollar", "\\cent": "cent", "\\textcent": "cent",
    "\\euro": "euro", "\\pounds": "sterling", "\\yen": "yen", "\\rupee": "rupee",
}  # fmt: skip
