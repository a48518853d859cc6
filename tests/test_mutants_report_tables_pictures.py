"""The pictures of small runs, whole, as they are kept: `test_mutants_report.py` draws them with the slow tests too."""

from pathlib import Path
from typing import Any

import pytest
from snapshots import check
from test_mutants_report import described, write_family

from evalkit.results.plots.drawing import LOOKS
from evalkit.results.plots.kinds import KINDS, Request, draw
from evalkit.results.published import load_published


@pytest.fixture(scope="module")
def drawn_family(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("family"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", LOOKS.values(), ids=lambda look: look.name)
def test_a_picture_has_its_words_points_and_lines(kind: str, look: Any, drawn_family: Path) -> None:
    students = [drawn_family / "student-1B-step_100", drawn_family / "student-1B-step_300"]
    several = [drawn_family] if kind in ("bars", "tokens", "k", "map", "lengths", "budget") else students
    published = load_published("deepseek-r1")[:12] if kind == "bars" else ()
    task = None if kind in ("bars", "gap", "crossing") else "math500"
    asked = Request(several, task, published, drawn_family / "base-1B", drawn_family / "teacher-9B", look)
    figure = draw(kind, asked)
    figure.draw_without_rendering()
    check(f"report/pictures/{kind}.{look.name}.txt", "\n".join([*described(figure), *asked.notes]))
