"""The data of a report page without its pictures, whole, as they are kept for `test_mutants_report.py`."""

import json
from pathlib import Path

import snapshots
from report_runs import TaskData, maths_problems, maths_sample, write_samples, write_task_file
from snapshots import GOLDEN
from test_mutants_report import dated, pieces, placeless, without_pictures

from evalkit.results.site.export import Site
from evalkit.results.site.options import SiteOptions


def test_the_data_of_a_page_are_those_of_its_runs(tmp_path: Path) -> None:
    def task(skill: float, seed: int) -> TaskData:
        return TaskData("quadratics", "Quadratics", maths_problems(5), maths_sample(skill, seed), n=3)

    file = write_task_file(tmp_path / "tasks", [task(0, 0)])
    for seed, (name, skill) in enumerate((("base", 0.6), ("student", 0.9), ("teacher", 1.2))):
        write_samples(tmp_path / "results" / name / "run", f"org/{name}", [task(skill, seed)], file)
    dated(tmp_path)
    runs = tmp_path / "results"
    options = SiteOptions(
        (runs,),
        students=(runs / "student",),
        teacher=(str(runs / "teacher"),),
        base=(str(runs / "base"),),
        pictures=False,
    )
    site = Site(tmp_path / "site", options)
    told: list[str] = []
    assert site.refresh(told.append)
    assert not site.refresh(told.append), "nothing has changed"
    assert site.version == 1
    held = json.dumps(without_pictures(pieces(tmp_path / "site")), ensure_ascii=False)
    found = snapshots._rounded(json.loads(placeless(held, tmp_path)))
    kept = json.loads((GOLDEN / "report/page.json").read_text("utf-8"))
    assert kept["index"].pop("pictures")
    assert found["index"].pop("pictures") == {}
    assert found == kept
