"""Units behind a value: which words are units, and when two of them cannot mean the same."""

import re
from fractions import Fraction

from evalkit.grading.latex.tokens import Token
from evalkit.grading.latex.vocabulary import words

Dimensions = tuple[tuple[str, int], ...]
# unit -> (its dimensions with their powers, its size in their base units)
_UNITS: dict[str, tuple[Dimensions, Fraction]] = {}
_WRITTEN: dict[str, tuple[Dimensions, Fraction]] = {}  # only where they are marked as units: \mathrm{kV}, not kV
_PREFIXES = {
    "G": ("giga", 9), "M": ("mega", 6), "k": ("kilo", 3), "d": ("deci", -1), "c": ("centi", -2), "m": ("milli", -3),
    "μ": ("micro", -6), "u": ("micro", -6), "n": ("nano", -9), "p": ("pico", -12),
}  # fmt: skip


def _powers(dimensions: str) -> Dimensions:
    """The dimensions in "mass length2 time-2"."""
    return tuple(sorted((match[1], int(match[2] or 1)) for match in re.finditer(r"([a-z]+)(-?\d)?", dimensions)))


def _define(dimensions: str, **sizes: str) -> None:
    """Names of one unit are joined by two underscores."""
    for names, size in sizes.items():
        for name in names.split("__"):
            _UNITS[name] = (_powers(dimensions), Fraction(size))


def _define_si(dimensions: str, size: str, symbol: str, *names: str) -> None:
    """A unit that takes prefixes, as its symbol and by name."""
    for prefix, (long, exponent) in {"": ("", 0), **_PREFIXES}.items():
        value = Fraction(size) * Fraction(10) ** exponent
        for name in (prefix + symbol, *(long + name for name in names)):
            _WRITTEN[name] = (_powers(dimensions), value)


_define(
    "length",
    m__meter__metre="1",
    cm__centimeter__centimetre="0.01",
    mm__millimeter__millimetre="0.001",
    km__kilometer__kilometre="1000",
    inch__inches="0.0254",
    ft__foot__feet="0.3048",
    yd__yard="0.9144",
    mi__mile="1609.344",
    nm="0.000000001",
)
_define(
    "mass",
    g__gram="1",
    kg__kilogram="1000",
    mg__milligram="0.001",
    lb__lbs__pound="453.59237",
    oz__ounce="28.349523125",
    ton__tonne="1000000",
)
_define("time", s__sec__second="1", min__minute="60", h__hr__hour="3600", day="86400", week="604800", ms="0.001")
_define(
    "length3",
    L__l__liter__litre="0.001",
    ml__mL__milliliter="0.000001",
    gallon="0.003785411784",
    quart="0.000946352946",
)
_define("dollar", dollar__USD__buck="1", cent__penny="0.01")
for _currency in ("euro", "sterling", "yen", "rupee"):
    _define(_currency, **{_currency: "1"})
_define("euro", EUR="1")
_define("angle", degree__deg="1", radian__rad="57")
_define("celsius", celsius="1")
_define("fahrenheit", fahrenheit="1")
_define("percent", percent__pct__percentage="1")
_define("length1 time-1", mph="0.44704", kmh__kph__kmph="5/18")
_define("time", year__yr="31557600", month="2629800")
for _dimensions, _size, *_names in (
    ("length", "1", "m", "meter", "metre"),
    ("mass", "1", "g", "gram"),
    ("time", "1", "s", "second"),
    ("length3", "0.001", "L", "liter", "litre"),
    ("time-1", "1", "Hz", "hertz"),
    ("mass length time-2", "1000", "N", "newton"),
    ("mass length2 time-2", "1000", "J", "joule"),
    ("mass length2 time-2", "1.602176634e-16", "eV", "electronvolt"),
    ("mass length2 time-3", "1000", "W", "watt"),
    ("mass length-1 time-2", "1000", "Pa", "pascal"),
    ("current", "1", "A", "ampere", "amp"),
    ("current time", "1", "C", "coulomb"),
    ("mass length2 time-3 current-1", "1000", "V", "volt"),
    ("mass length2 time-3 current-2", "1000", "Ω", "ohm"),
    ("mass time-2 current-1", "1000", "T", "tesla"),
    ("current2 time4 mass-1 length-2", "0.001", "F", "farad"),
    ("kelvin", "1", "K", "kelvin"),
    ("amount", "1", "mol", "mole"),
    ("mass", "1000000", "t"),
):
    _define_si(_dimensions, _size, *_names)
LETTERS = frozenset("mgshLNJWVAKCFT")  # units of one letter
_OTHER = words(
    "in units unit sq square cubic per each mph kmh kph hz Hz kHz MHz J kJ N kN W kW Pa kPa mol eV keV MeV V A "
    "rpm students people years year yr yrs months month times ways points point euros euro yen rupees percent "
    "pct percentage USD EUR bits bytes GB MB KB hrs mins secs kmph "
    "ohm ohms volt volts amp amps ampere amperes newton newtons joule joules watt watts hertz pascal pascals kelvin "
    "coulomb coulombs mole moles tesla farad farads"
)  # fmt: skip


_TEMPERATURE = re.compile(r"(?:\\?degrees?\s*)?(?:(c)(?:elsius)?|(f)(?:ahrenheit)?)", re.IGNORECASE)


def temperature(words: str) -> str:
    """The unit's name for "C", "degrees Celsius" and their like behind a degree sign; empty for anything else."""
    match = _TEMPERATURE.fullmatch(words.strip())
    return "" if match is None else "celsius" if match[1] else "fahrenheit"


def ratio(unit: str, smaller: str) -> Fraction | None:
    """How many of the first unit one of a smaller unit of its kind is: minutes in hours 1/60."""
    first, second = measure(unit), measure(smaller)
    if first is None or second is None or first[0] != second[0] or second[1] >= first[1]:
        return None
    return second[1] / first[1]


def is_unit(word: str, *, spaced: bool) -> bool:
    """Whether a bare word behind a number is a unit. A single letter may as well be a variable, and is none; `2mg` is
    a product of variables, `2 mg` a mass.
    """
    if len(word) == 1 or word in ("kT", "pm"):
        return False
    if len(word) == 2 and word[1] in LETTERS and word not in ("cm", "km", "mm", "kg"):
        return spaced and _known(word, written=True) is not None
    return word in _OTHER or _known(word) is not None


def unit_letters(tokens: list[Token], at: int) -> tuple[str, int] | None:
    """(the letters in a {…} group at `at`, where the group ends); None where there is no such group."""
    if at >= len(tokens) or tokens[at].value != "{":
        return None
    letters: list[str] = []
    depth = 1
    for end in range(at + 1, min(at + 20, len(tokens))):
        token = tokens[end]
        depth += (token.value == "{") - (token.value == "}")
        if token.value in "{}" and depth:
            continue
        if not depth:
            return ("".join(letters).strip(), end + 1) if letters else None
        if token.kind == "num" and token.value not in ("1", "2", "3"):
            return None
        letters.append(("" if not token.spaced else " ") + token.value)
    return None


def _known(word: str, *, written: bool = False) -> tuple[Dimensions, Fraction] | None:
    if written and (found := _WRITTEN.get(word) or _WRITTEN.get(word.lower().removesuffix("s"))):
        return found
    # "Mm" and "hR" are products of variables, "Meters" and "CM" are units
    spelt = word.lower() if word.islower() or (len(word) > 3 and word.istitle()) or word.isupper() else word
    for form in (word, spelt, word.removesuffix("s"), spelt.removesuffix("s"), spelt.removesuffix("es")):
        if form in _UNITS:
            return _UNITS[form]
    return None


_POWER_WORDS = re.compile(r"(?<=[A-Za-z])\s+(squared|cubed)(?![A-Za-z])", re.IGNORECASE)


def _power(match: re.Match[str]) -> str:
    return "^2" if match[1].lower() == "squared" else "^3"


def measure(unit: str) -> tuple[Dimensions, Fraction] | None:
    """(dimensions with their powers, size) of a unit all of whose words are known; None otherwise."""
    dimensions: dict[str, int] = {}
    size = Fraction(1)
    sign, power = 1, 1
    unit = re.sub(r"\^\{(-?\d)\}", r"^\1", _POWER_WORDS.sub(_power, unit))
    words = re.findall(
        r"\^?-?\d|[^\W\d_]+|/|\S",
        re.sub(r"\\(?!mu|Omega)[a-z]+|[{}().]", " ", unit).replace("\\mu ", "μ").replace("\\Omega", "Ω"),
    )
    for index, word in enumerate(words):
        if word in ("/", "per"):
            sign = -1
        elif word.lower() in ("square", "sq", "cubic"):
            power = 3 if word.lower() == "cubic" else 2
        elif not re.fullmatch(r"\^?-?\d", word):
            known = _UNITS["inch"] if word == "in" else _known(word, written=True)
            if known is None:
                return None
            if index + 1 < len(words) and (exponent := re.fullmatch(r"\^?(-?\d)", words[index + 1])):
                power = int(exponent[1])
            for dimension, exponent_of in known[0]:
                dimensions[dimension] = dimensions.get(dimension, 0) + sign * power * exponent_of
            size *= known[1] ** (sign * power)
            power = 1
    return tuple(sorted((name, count) for name, count in dimensions.items() if count)), size
