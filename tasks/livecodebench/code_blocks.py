"""Finds the program in what a model wrote after its thinking."""

import ast
import re
import textwrap
from dataclasses import dataclass

from evalkit.thinking import until_end_of_turn

_FENCE = re.compile(r"^(?P<indent>[ \t>]*)(?P<fence>`{3,}|~{3,})[ \t]*(?P<info>.*?)[ \t]*$")
# "The solution is:```python", "<answer>```python": a fence that opens behind other text
_GLUED_OPENING = re.compile(
    r"""
    ^(?P<before>.*[^\s`~>].*?|<answer>)(?P<fence>```+[ \t]*[A-Za-z][\w+#.:,={}-]*)[ \t]*$
    """,
    re.IGNORECASE | re.VERBOSE,
)
_GLUED_CLOSING = re.compile(r"^(?P<code>.*?[^`\s].*?)(?P<fence>`{3,})(?P<after>[ \t]*(?:</?\w+>)?[ \t]*)$")
_PYTHON = re.compile(r"(?:i?python|py|pypy|cpython)[\d.]*")
_INVISIBLE = re.compile("[\ufeff\u200b\u2060]")
_ANSWER_TAG = re.compile(r"</?(?:answer|solution|code|python)>|\[/?(?:PYTHON|ANSWER)\]", re.IGNORECASE)
_TRIPLE = re.compile(
    r"""
    (?P<comment>\#[^\n]*)|(?P<triple>\"\"\"|\'\'\')|(?P<string>\"(?:\\.|[^\"\\\n])*\"
    |\'(?:\\.|[^\'\\\n])*\')|\\.
    """,
    re.VERBOSE,
)
_READS_INPUT = re.compile(
    r"""
    \binput\s*\(|\bstdin\b|\bopen\s*\(\s*(?:0|[\"']/dev/stdin)|\bos\.read\b|\bfileinput\b|\braw_input\b
    """,
    re.VERBOSE,
)
_CODE_BEGINS = re.compile(
    r"""
    (?:import|from|def|class|for|while|if|try|with|print)\b|@\w|\#|[A-Za-z_][\w, ]*\s*=[^=]
    """,
    re.VERBOSE,
)
_PLACEHOLDER = re.compile(
    r"""
    \#+\s*(?:(?:your|write)\s(?:your\s)?(?:code|solution|implementation)\b.*|todo\b.*|\.\.\.)
    """,
    re.IGNORECASE | re.VERBOSE,
)
_LONGEST_BARE = 40_000  # characters of a response without a fence that are searched for a program
_TRIES = 60  # attempts to parse it
_STATEMENTS = (
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.FunctionDef,
    ast.ClassDef,
    ast.Import,
    ast.ImportFrom,
    ast.For,
    ast.While,
    ast.If,
    ast.With,
    ast.Try,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: `language` in lower case, "" where none is named."""

    language: str
    code: str
    closed: bool


def fenced_blocks(text: str) -> list[Block]:
    """The blocks of a text in order. A fence that is never closed runs to the end.

    Fences glued to text or code count, and so does a closing fence whose opening one stood in the prompt; fences in a
    docstring do not.
    """
    blocks: list[Block] = []
    opened: re.Match[str] | None = None
    lines: list[str] = []
    before: list[str] = []  # since the last block
    for line in _lines(text):
        fence = _FENCE.match(line)
        if opened is None:
            if fence and not fence["info"] and not blocks and looks_like_python("\n".join(before)):
                blocks.append(Block("", "\n".join(before), closed=True))  # the prompt had opened it
                before = []
            elif fence and not ("`" in fence["info"] and fence["fence"][0] == "`"):
                opened, lines = fence, []
            else:
                before.append(line)
        elif _closes(fence, opened) and not _in_docstring(lines):
            assert fence is not None
            blocks.append(_block(opened, lines, closed=True))
            # a fence with a language inside an open block begins the next one: the model forgot to close
            opened, lines, before = (fence if _is_language(fence["info"]) else None), [], []
        elif (glued := _glued_closing(line, opened)) is not None and not _in_docstring([*lines, glued]):
            blocks.append(_block(opened, [*lines, glued], closed=True))
            opened, lines, before = None, [], []
        else:
            lines.append(line)
    if opened is not None and lines:
        blocks.append(_block(opened, lines, closed=False))
    return blocks


def _lines(text: str) -> list[str]:
    """The lines of a text, with line breaks before fences that open behind other text, and between two fences."""
    lines: list[str] = []
    for line in _INVISIBLE.sub("", text.replace("\r\n", "\n")).split("\n"):
        if (two := re.fullmatch(r"[ \t]*(`{3})(`{3}[A-Za-z][\w+#.-]*)[ \t]*", line)) is not None:
            lines += [two[1], two[2]]
        elif (glued := _GLUED_OPENING.match(line)) is not None:
            lines += [glued["before"], glued["fence"]]
        else:
            lines.append(line)
    return lines


def _closes(fence: re.Match[str] | None, opened: re.Match[str]) -> bool:
    return fence is not None and fence["fence"][0] == opened["fence"][0] and len(fence["fence"]) >= len(opened["fence"])


def _glued_closing(line: str, opened: re.Match[str]) -> str | None:
    """The code in front of a closing fence on the same line."""
    if opened["fence"][0] != "`":
        return None
    found = _GLUED_CLOSING.match(line)
    return found["code"] if found and "`" not in found["code"] and len(found["fence"]) >= len(opened["fence"]) else None


def _in_docstring(lines: list[str]) -> bool:
    """Whether code ends within a triple-quoted string."""
    quote = ""
    for found in _TRIPLE.finditer("\n".join(lines)):
        if quote and found["triple"] == quote:
            quote = ""
        elif not quote and found["triple"]:
            quote = found["triple"]
    return bool(quote)


def _is_language(info: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z][\w+#.:,={}-]*", info))


def _block(fence: re.Match[str], lines: list[str], closed: bool) -> Block:
    if fence["indent"]:
        quoted = ">" in fence["indent"]
        lines = [re.sub(r"^[ \t]*> ?", "", line) if quoted else line for line in lines]
        code = textwrap.dedent("\n".join(lines))
    else:
        code = "\n".join(lines)
    words = re.split(r"[\s:,;={}]+", fence["info"].strip("{}. ="))
    return Block(words[0].lower().strip("."), code, closed)


def extract_code(response: str, fn_name: str | None = None) -> tuple[str, str]:
    """(code, rule): the last Python block that is a solution, else the last block without a language, else bare code.

    A solution defines `fn_name` where one is asked for, and reads its input else; snippets behind it (a call, an
    assertion, the input of an example, a few of its own lines) and templates that were only echoed do not displace it.
    ("", reason) where there is none.
    """
    response = until_end_of_turn(response)
    blocks = [block for block in fenced_blocks(response) if block.code.strip()]
    named = [block for block in blocks if _PYTHON.fullmatch(block.language)]
    unnamed = [block for block in blocks if not block.language]
    likely = [block for block in unnamed if looks_like_python(block.code)]
    for rule, candidates in (("python block", named), ("unnamed block", likely), ("unnamed block", unnamed)):
        if candidates:
            chosen = _solution(candidates, fn_name)
            return (chosen.code, rule) if chosen.closed else (_parsed_part(chosen.code), f"{rule}, never closed")
    if not blocks:
        bare = _ANSWER_TAG.sub("", response)
        if looks_like_python(bare):
            return bare, "no fence, all of it Python"
        if code := bare_code(bare):
            return code, "no fence, Python behind text"
    return "", "no code block" if not blocks else f"only blocks in {', '.join(sorted({b.language for b in blocks}))}"


def _solution(blocks: list[Block], fn_name: str | None) -> Block:
    """The last block that is a whole solution, as far as its text tells."""
    if fn_name is not None:
        asked = [b for b in blocks if re.search(rf"\b(def|class)\s+{re.escape(fn_name)}\b", b.code)]
    else:
        asked = [b for b in blocks if _READS_INPUT.search(_without_comments(b.code)) and looks_like_python(b.code)]
    whole = [b for b in asked or blocks if not _is_placeholder(b.code)]
    if not asked:
        whole = [b for n, b in enumerate(blocks) if b in whole and not _is_snippet(b, blocks[:n])] or whole
    return (whole or asked or blocks)[-1]


def _without_comments(code: str) -> str:
    return re.sub(r"#[^\n]*", "", code)


def _is_placeholder(code: str) -> bool:
    """Whether code is a template with nothing filled in: "# YOUR CODE HERE", a body of `pass`."""
    lines = [line.strip() for line in code.strip().split("\n")]
    if any(_PLACEHOLDER.fullmatch(line) for line in lines) and len(lines) < 30:
        code = "\n".join(line for line in code.split("\n") if not _PLACEHOLDER.fullmatch(line.strip()))
        return not looks_like_python(code) or _does_nothing(code)
    return _does_nothing(code)


def _does_nothing(code: str) -> bool:
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    nothing = (ast.Pass, ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    return bool(statements) and all(
        isinstance(node, nothing) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for node in statements
    )


def _is_snippet(block: Block, before: list[Block]) -> bool:
    """Whether a block only shows something of a solution before it: a call, an assertion, data, lines of its own."""
    lines = [line.strip() for line in block.code.split("\n") if line.strip()]
    if any(set(lines) <= {line.strip() for line in other.code.split("\n")} for other in before):
        return True
    try:
        body = ast.parse(block.code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return bool(before)
    shown = (ast.Expr, ast.Assert, ast.Assign)
    return any(_is_substantial(other.code) for other in before) and all(isinstance(node, shown) for node in body)


def _is_substantial(code: str) -> bool:
    return re.search(r"^\s*(?:def|class|for|while|if|import|from|with)\b", code, re.MULTILINE) is not None


def bare_code(text: str) -> str:
    """The longest stretch of lines that is a program, from its first line on; "" where there is none."""
    if len(text) > _LONGEST_BARE:
        return ""
    lines = text.replace("\r\n", "\n").split("\n")
    starts = [number for number, line in enumerate(lines) if _CODE_BEGINS.match(line)]
    ends = [len(lines), *(n for n in range(len(lines) - 1, 0, -1) if not lines[n].strip())]
    tries = 0
    for start in starts[:10]:
        for end in ends:
            if end <= start or tries >= _TRIES:
                break
            tries += 1
            code = "\n".join(lines[start:end])
            if looks_like_python(code) and re.search(r"\b(?:def|print|import|return)\b", code):
                return code if _is_prose(lines[end:]) else ""
    return ""


def _is_prose(lines: list[str]) -> bool:
    """Whether lines are a text, or nothing: what follows a program that was cut off is code."""
    first = next((line for line in lines if line.strip()), "")
    return not first or (re.match(r"[A-Z*#>\d-]", first) is not None and len(re.findall(r"[A-Za-z']{2,}", first)) >= 3)


def _parsed_part(code: str) -> str:
    """A block that was never closed, without the text that follows its program."""
    return code if looks_like_python(code) else bare_code(code) or code


def looks_like_python(text: str) -> bool:
    """Whether a text is a Python program that does something: prose of one word and a lone number are not."""
    try:
        body = ast.parse(text.replace("\r\n", "\n")).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(node, _STATEMENTS) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call))
        for node in body
    )


def official_code(response: str) -> str:
    """What LiveCodeBench's own extraction takes: the lines between the last two that hold three backticks, else ""."""
    lines = response.split("\n")
    fences = [number for number, line in enumerate(lines) if "```" in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) >= 2 else ""
