"""For each construct of the grammar: answers that differ in it alone are not equal, and each equals itself."""

from itertools import combinations

import pytest

from evalkit.grading.equality.equivalence import meaning_equal


def listed(text: str) -> list[str]:
    return text.split()


def filled(template: str, *fillings: str) -> list[str]:
    return [template.replace("@", filling) for filling in fillings]


RELATIONS = listed(r"""
    = \neq < > \le \ge \in \notin \subset \supset \parallel \perp \sim \cong \mid \nmid \ll \gg \prec \succ
    \propto \equiv
""")
OPERATORS = listed(r"""
    + - \cdot / ^ \circ \oplus \otimes \odot \ominus \pm \cup \cap \setminus \bmod
""")
FUNCTIONS = listed(r"""
    \sin \cos \tan \cot \sec \csc \arcsin \arccos \arctan \sinh \cosh \tanh \ln \exp \sqrt{} \det
    \operatorname{tr} \operatorname{rank} \dim \ker \arg \Re \Im \operatorname{sgn} \operatorname{Li}
    \operatorname{erf} \Gamma \zeta \log_2 \log_3 \lg \max \min \sup \inf \gcd \operatorname{lcm} \sin^2
    \cos^2 \sin^{-1} \operatorname{div} \operatorname{curl} \deg \Pr \hom
""")
ACCENTS = listed(r"""
    \bar \hat \tilde \dot \ddot \check \breve
""")
WORDS = listed(r"""
    odd even prime composite positive negative rational irrational real complex finite infinite
""")
GREEK = listed("alpha beta gamma delta epsilon theta lambda mu nu rho sigma tau omega Gamma Delta Omega")
UNITS = listed(r"""
    cm m km inches feet miles kg g lb s min hours days years J N W V A Pa Hz mol K L gallons apples oranges
    students teachers
""")

CONSTRUCTS: dict[str, list[str]] = {
    "relation": filled("a @ b", *RELATIONS),
    "operator": filled("x @ y", *OPERATORS),
    "function": [
        *filled("@(x)", *(name.replace("{}", "") for name in FUNCTIONS if name not in (r"\sqrt{}", r"\sin^{-1}"))),
        "x",
    ],
    "named function": filled("@(x)", "f", "g", "h", "F", "u", "f'", "f''", r"f^{(3)}", r"\phi", r"\psi"),
    "argument": filled("f(@)", "0", "1", "x", "y", "2x", "x+1", "x,y", "y,x", "-x"),
    "function at a point": ["u(0)", "u(1)", "u", "0", "-u(0)", "v(0)", "2u(0)"],
    "accent": [*filled("@{x}", *ACCENTS), "x", "x'", "x''", r"\bar{y}"],
    "mark": [r"\angle ABC", r"\triangle ABC", r"\angle BAC", r"\overrightarrow{AB}", r"\overrightarrow{BA}"],
    "index": filled("x_@", "1", "2", "n", "m", "{12}", "{1,2}", "{n+1}", "{nm}", r"{\max}", r"{\min}", r"{\text{a}}"),
    "index before a letter": filled("F_@G", "n", "m", "k", "1", "2", "a"),
    "exponent": filled(
        "x^@", "2", "3", "n", "m", "{-1}", "{n+1}", "*", "+", "T", "{(2)}", r"\dagger", "{1/2}", r"{\circ}"
    ),
    "power or index": ["x^2", "x_2", "2x", "x+2", "x2y", "x/2", "x!", "x"],
    "brackets": ["(1,2)", "[1,2]", "(1,2]", "[1,2)", r"\{1,2\}"],
    "bars": [r"|x|", r"\|x\|", r"\lfloor x\rfloor", r"\lceil x\rceil", "x"],
    "big operator": filled(r"@_{k=1}^{n} a_k", r"\sum", r"\prod", r"\bigcup", r"\bigcap", r"\bigoplus"),
    "bound": [
        r"\sum_{k=1}^{n} k^2",
        r"\sum_{k=0}^{n-1} k^2",
        r"\sum_{k=1}^{n+1} k^2",
        r"\sum_{k=1}^{m} k^2",
        r"\sum_{k=1}^{n} k",
    ],
    "terms of a sum": [
        r"\sum_{k=1}^{n} a_k",
        r"\sum_{k=0}^{n-1} a_k",
        r"\sum_{k=1}^{n} b_k",
        "na_k",
        r"\sum_{k=1}^{n} a_{k+1}",
    ],
    "integral": [
        r"\int_0^1 f(x)\,dx",
        r"\int_0^2 f(x)\,dx",
        r"\int_1^0 f(x)\,dx",
        r"\int_0^1 g(x)\,dx",
        r"\iint f(x)\,dx",
    ],
    "limit": [r"\lim_{x\to0} f(x)", r"\lim_{x\to1} f(x)", r"\lim_{x\to\infty} f(x)", r"\lim_{x\to0^+} f(x)", "f(x)"],
    "derivative": [
        r"\frac{dy}{dx}",
        r"\frac{dx}{dy}",
        r"\frac{d^2y}{dx^2}",
        r"\frac{dy}{dt}",
        r"\frac{y}{x}",
    ],
    "family of numbers": filled(
        r"\mathbb{@}", "R", "Q", "Z", "N", "C", "R}^{+", "R}^{-", "R}^{2", "Z}_{5", "Z}_{7", "F}_{5"
    ),
    "member": [
        r"x\in\mathbb{Z}",
        r"2x\in\mathbb{Z}",
        r"x^2\in\mathbb{Z}",
        r"x\in\mathbb{Q}",
        r"y\in\mathbb{Z}",
        r"x\notin\mathbb{Z}",
    ],
    "unit": [*filled(r"5\text{ @}", *UNITS), r"5\%", r"5^\circ", r"\$5", r"5\text{ €}"],
    "property": [*filled("n @", *WORDS), "n"],
    "property in text": filled(r"n \text{ is @}", *WORDS, "not prime", "not even"),
    "property behind a relation": [*filled(r"n\ge 3 \text{ @}", "odd", "even", "prime", "composite"), r"n\ge 3"],
    "quantifier": filled(
        r"\text{@ integers}", "all", "no", "some", "all positive", "all negative", "all even", "all odd"
    ),
    "bounded number": [
        "10",
        "at least 10",
        "at most 10",
        "more than 10",
        "less than 10",
        "about 9 or 10",
        "not 10",
        "10 or 11",
    ],
    "remark": [
        "10",
        "10 (excluded)",
        "10 does not work",
        "10 is wrong",
        "10 or more",
        "10 fails",
        "all but 10",
        "10 times x",
    ],
    "condition": ["x if x>0", "x if x<0", "x if x>1", "y if x>0", "-x if x>0", "x if y>0"],
    "cases": [
        "0 if x<2, x otherwise",
        "1 if x<2, x otherwise",
        "0 if x<3, x otherwise",
        "0 if x<2, 2x otherwise",
        "x if x<2, 0 otherwise",
    ],
    "assignments": [r"a=1 \quad b=2", r"a=1 \quad b=3", r"a=2 \quad b=2", r"a=1 \quad c=2", "a=1", "b=2"],
    "list": ["1,2,3", "1,2", "1,2,4", "1,1,2", "1,2,2", "1,2,3,3", r"1,2,\ldots", r"1,2,\ldots,5"],
    "tuple": ["(1,2,3)", "(3,2,1)", "(1,2)", "((1,2),3)", "(1,(2,3))"],
    "matrix": [
        r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
        r"\begin{pmatrix}1&3\\2&4\end{pmatrix}",
        r"\begin{vmatrix}1&2\\3&4\end{vmatrix}",
        r"\begin{pmatrix}1&2&3&4\end{pmatrix}",
        r"\begin{pmatrix}1&2\\3&5\end{pmatrix}",
    ],
    "mixed number": [r"2\frac13", r"2\cdot\frac13", r"\frac{21}3", r"\frac{2}{13}", r"3\frac12", r"-2\frac13"],
    "factorial": ["n!", "n!!", "n", "(n+1)!", "(n!)!", "m!"],
    "step": [*filled(r"\lfloor n/@\rfloor", "2", "3", "9", "10", "100", "1000"), r"\lceil n/2\rceil", "n/2", "0"],
    "constant": [
        r"\pi",
        "e",
        "i",
        r"\infty",
        r"-\infty",
        r"\hbar",
        r"\ell",
        r"\aleph_0",
        r"\emptyset",
        r"\varphi",
        "0",
        "1",
    ],
    "variable": ["x", "y", "X", r"\xi", r"\chi", "2x", "-x", "x+1", r"\Xi"],
    "greek": [rf"\{name}" for name in GREEK],
    "congruence": [r"x\equiv 1\pmod 3", r"x\equiv 2\pmod 3", r"x\equiv 1\pmod 5", r"x\equiv -1\pmod 4"],
    "divisibility": [r"m\mid n", r"n\mid m", r"m\nmid n", "mn", "m/n", "n"],
    "approximation": [r"\sqrt2\approx1.41", r"\sqrt3\approx1.73", r"\sqrt2\approx1.73", r"\sqrt2\approx 1.5"],
    "false chain": ["1+2=3", "1+2=4", "1+2=5", "7"],
    "logic": [r"\forall x", r"\exists x", r"\neg x", "x"],
    "equation": ["xy=0", "x=0", "y=0", "x(y-1)=0", "xy=1", "y=1"],
    "time": ["5:00 a.m.", "5:00 p.m.", "5:30 p.m.", "6:00 a.m."],
    "set": [r"\{x: x>0\}", r"\{x: x<0\}", r"\{x: x\ge0\}", r"\{x^2: x>0\}", r"\{(x,y): x>0\}"],
    "worded answer": [
        "increasing",
        "decreasing",
        "convergent",
        "divergent",
        "not convergent",
        "clockwise",
        "counterclockwise",
        "the largest",
        "the smallest",
        "infinitely many",
        "finitely many",
        "at most one",
        "at least one",
        "yes",
        "no",
        "true",
        "false",
    ],
}


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_answers_that_differ_in_one_construct_are_not_equal(construct: str) -> None:
    answers = CONSTRUCTS[construct]
    alike = [
        (first, second)
        for first, second in combinations(answers, 2)
        if meaning_equal(first, second)[0] or meaning_equal(second, first)[0]
    ]
    assert not alike
    assert not [answer for answer in answers if not meaning_equal(answer, answer)[0]]
