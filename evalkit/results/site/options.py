"""What a report page is made of: the runs, what is left out of it, and who is whose teacher."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SiteOptions:
    """What goes into the page.

    `published` names published tables. `max_samples` is the most completions whose text is exported of each task of
    each run, `only_wrong` leaves out the text of correct ones; figures are always those of all. `redact_prompts`: True
    leaves out every problem's text, False none, None those of sets that are gated on the hub. `teacher`, `base` and
    `students` make the distillation page.
    """

    runs: tuple[Path, ...]
    published: tuple[str, ...] = ()
    max_samples: int | None = None
    only_wrong: bool = False
    redact_prompts: bool | None = None
    data: str | None = None
    teacher: tuple[str, ...] = ()
    base: tuple[str, ...] = ()
    students: tuple[Path, ...] = ()
    pictures: bool = True
