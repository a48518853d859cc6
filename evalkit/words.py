"""Numbers with their nouns, and lists of names."""

from collections.abc import Iterable


def counted(number: int, noun: str, many: str | None = None) -> str:
    """`1 sample`, `1,200 samples`. `many` is the plural where it is not the noun with an s.

    Examples:
        >>> counted(1, "sample"), counted(0, "sample"), counted(1200, "entry", "entries")
        ('1 sample', '0 samples', '1,200 entries')
    """
    return f"{number:,} {noun if number == 1 else many or f'{noun}s'}"


def listed(names: Iterable[object]) -> str:
    """`A`, `A and B`, `A, B and C`; empty for no names.

    Examples:
        >>> listed(["AIME"]), listed(["AIME", "GPQA"]), listed(["AIME", "GPQA", "MATH"])
        ('AIME', 'AIME and GPQA', 'AIME, GPQA and MATH')
    """
    *others, last = [str(name) for name in names] or [""]
    return f"{', '.join(others)} and {last}" if others else last
