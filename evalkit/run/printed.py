"""The line that tells where a run is: `evalkit run` prints it, and what starts `evalkit run` reads it."""

import re
import shlex
from pathlib import Path

_LINE = re.compile(r"^run directory: (.+)$", re.MULTILINE)


def run_line(run: Path) -> str:
    """`run directory: PATH`, quoted as a shell takes it.

    Examples:
        >>> run_line(Path("results/m/deepseek-r1 (asserted)-cf72ec74"))
        "run directory: 'results/m/deepseek-r1 (asserted)-cf72ec74'"
    """
    return f"run directory: {shlex.quote(str(run))}"


def printed_run(text: str) -> Path | None:
    """The run directory of the last such line, None where there is none.

    Examples:
        >>> printed_run("pass@1 50.0\\nrun directory: 'a b'\\n"), printed_run("run directory: a (b)")
        (PosixPath('a b'), PosixPath('a (b)'))
    """
    found = _LINE.findall(text)
    if not found:
        return None
    try:
        words = shlex.split(found[-1])
    except ValueError:  # an apostrophe in a line of an earlier version, which did not quote
        words = []
    return Path(words[0] if len(words) == 1 else found[-1])
