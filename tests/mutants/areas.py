"""Which files belong to which area, and which tests are its own."""

import fnmatch
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Area:
    name: str
    sources: tuple[str, ...]  # patterns of paths; `*` goes through folders
    tests: tuple[str, ...]
    unmeasured: tuple[str, ...] = ()  # sources that run where coverage can write nothing


AREAS = (
    Area("stats", ("evalkit/stats/*",), ("tests/test_stats*.py", "tests/test_precision.py")),
    Area(
        "data and prompts",
        ("evalkit/benchmark/*", "evalkit/thinking.py", "tasks/[a-z]*.py", "tasks/livecodebench/*"),
        (
            "tests/test_data.py",
            "tests/test_hub.py",
            "tests/test_arithmetic.py",
            "tests/test_livecodebench*.py",
            "tests/test_more_tasks.py",
            "tests/test_prompts.py",
            "tests/test_registry.py",
            "tests/test_tasks_contract.py",
            "tests/test_thinking.py",
            "tests/test_template_families.py",
        ),
    ),
    Area("grading", ("evalkit/grading/*",), ("tests/test_grading*.py", "tests/test_reward.py")),
    Area(
        "run and store",
        ("evalkit/run/*", "evalkit/store/*"),
        (
            "tests/test_run.py",
            "tests/test_evaluate.py",
            "tests/test_identity.py",
            "tests/test_import_run.py",
            "tests/test_jsonlines.py",
            "tests/test_old_runs.py",
            "tests/test_own_metrics.py",
            "tests/test_progress.py",
            "tests/test_schedule.py",
            "tests/test_scoring_workers.py",
            "tests/test_shards.py",
            "tests/test_suites.py",
            "tests/test_throughput.py",
            "tests/test_watch.py",
            "tests/test_disputes.py",
            "tests/test_kill*.py",
            "tests/test_whole_way.py",
            "tests/test_windows.py",
        ),
    ),
    Area(
        "report and tables",
        ("evalkit/results/*",),
        (
            "tests/test_leaderboard.py",
            "tests/test_marks.py",
            "tests/test_visible.py",
            "tests/test_compare.py",
            "tests/test_distillation.py",
            "tests/test_export.py",
            "tests/test_plots.py",
            "tests/test_report_export.py",
            "tests/test_samples.py",
            "tests/test_table_options.py",
            "tests/test_trackers.py",
        ),
    ),
    Area("CodeForces", ("tasks/codeforces/*",), ("tests/test_codeforces*.py",)),
    Area(
        "engines",
        ("evalkit/engines/[!v]*",),
        (
            "tests/test_engines.py",
            "tests/test_backend_contract.py",
            "tests/test_backend_openai.py",
            "tests/test_backend_sampling.py",
            "tests/test_backend_transformers.py",
            "tests/test_checkpoints.py",
            "tests/test_context_room.py",
            "tests/test_gpus.py",
            "tests/test_quirks.py",
            "tests/test_replay.py",
            "tests/test_server_template.py",
            "tests/test_stop_repetition.py",
            "tests/test_replicas.py",
        ),
    ),
    Area(
        "sandbox and judge",
        ("evalkit/sandbox/*",),
        ("tests/test_sandbox*.py", "tests/test_judge.py"),
        unmeasured=("evalkit/sandbox/child/*",),
    ),
    Area("importers", ("evalkit/importers/*",), ("tests/test_importers*.py", "tests/test_import_run.py")),
    Area(
        "sets and fidelity",
        ("evalkit/transfer/*", "evalkit/contamination/*", "evalkit/fidelity/*"),
        ("tests/test_transfer.py", "tests/test_contamination.py", "tests/test_fidelity.py"),
    ),
)


def sources(area: Area, repository: Path) -> list[str]:
    """The area's files, sorted."""
    files = [p.relative_to(repository).as_posix() for f in ("evalkit", "tasks") for p in (repository / f).rglob("*.py")]
    found = [f for f in files if any(fnmatch.fnmatchcase(f, pattern) for pattern in area.sources)]
    return sorted(f for f in found if not (area.name != "CodeForces" and "codeforces" in f))


def tests(area: Area, repository: Path) -> list[str]:
    """The area's test files, sorted; `tests/test_mutants_*.py` belong to every area."""
    files = [path.relative_to(repository).as_posix() for path in (repository / "tests").glob("test_*.py")]
    patterns = (*area.tests, "tests/test_mutants_*.py")
    return sorted(f for f in files if any(fnmatch.fnmatchcase(f, pattern) for pattern in patterns))


def is_unmeasured(area: Area, file: str) -> bool:
    return any(fnmatch.fnmatchcase(file, pattern) for pattern in area.unmeasured)
