"""The languages that programs may be in. Another one is another row."""

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from evalkit.errors import EvalkitError


@dataclass(frozen=True, slots=True)
class Language:
    """`compile_commands` are tried in order, each as (argv …); {source} and {output} are file names in the jail.

    A language without any is run by the interpreter that runs evalkit.
    """

    name: str
    source: str = ""
    compiler: str = ""
    compile_commands: tuple[tuple[str, ...], ...] = ()
    aliases: tuple[str, ...] = ()


def _cpp(standard: str) -> tuple[tuple[str, ...], ...]:
    options = ("-O2", f"-std={standard}", "-pipe", "-w", "-DONLINE_JUDGE", "-o", "{output}", "{source}")
    return (("g++", "-static", *options), ("g++", *options))


LANGUAGES: dict[str, Language] = {
    language.name: language
    for language in (
        Language("python", aliases=("python3", "py")),
        Language("c++17", "solution.cpp", "g++", _cpp("gnu++17"), ("cpp", "c++", "cpp17")),
        Language("c++20", "solution.cpp", "g++", _cpp("gnu++20"), ("cpp20",)),
    )
}


def find_language(name: str) -> Language:
    """The language of that name or alias. Raises EvalkitError where there is none."""
    wanted = name.strip().lower()
    for language in LANGUAGES.values():
        if wanted == language.name or wanted in language.aliases:
            return language
    raise EvalkitError(f"There is no language {name!r} here.", f"languages: {', '.join(LANGUAGES)}.")


@cache
def compiler_version(compiler: str) -> str | None:
    """The first line of `compiler --version`, None where it is not installed."""
    path = shutil.which(compiler)
    if path is None:
        return None
    done = subprocess.run(
        [path, "--version"], capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=20
    )
    return done.stdout.splitlines()[0] if done.returncode == 0 and done.stdout else None
