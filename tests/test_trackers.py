"""Figures sent to experiment trackers, each in its offline mode, and read back with the tracker's own client."""

from pathlib import Path

import pytest
from helpers import evalkit, told
from synthetic_runs import write_run

from evalkit import EvalkitError
from evalkit.results.report import load_report
from evalkit.results.trackers import log_run, parse_tracker
from evalkit.store.run import RunDirectory

VALUES = [[True, False], [True, True], [False, False]]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return write_run(tmp_path / "results" / "student" / "run-1", "lab/student-checkpoint-500", {"math500": VALUES})


@pytest.mark.slow
def test_mlflow_has_the_figures_once_however_often_they_are_sent(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    log_run(run.path, "mlflow:students")
    said = log_run(run.path, "mlflow:students")
    assert "experiment students" in said
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.get_experiment_by_name("students")
    assert experiment is not None
    (stored,) = client.search_runs([experiment.experiment_id])
    report = load_report(run.task("math500"))
    metric = report.metric("pass@1")
    assert metric is not None
    assert metric.interval_run is not None
    assert stored.data.metrics["math500/pass_at_1"] == pytest.approx(metric.value)
    assert stored.data.metrics["math500/pass_at_1/low"] == pytest.approx(metric.interval_run[0])
    assert stored.data.metrics["math500/n"] == 2
    assert stored.data.params["model"] == "lab/student-checkpoint-500"
    assert client.get_metric_history(stored.info.run_id, "math500/pass_at_1")[0].step == 500


@pytest.mark.slow
def test_wandb_offline(run: RunDirectory, tmp_path: Path) -> None:
    logged = evalkit("export", run.path, "--to", "wandb:students", WANDB_MODE="offline", WANDB_DIR=str(tmp_path))
    assert "wandb sync" in logged.stdout
    (stored,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    content = stored.read_bytes()
    assert b"math500/pass_at_1" in content
    assert b"lab/student-checkpoint-500" in content


@pytest.mark.slow
def test_trackio(run: RunDirectory, tmp_path: Path) -> None:
    logged = evalkit("export", run.path, "--to", "trackio:students", TRACKIO_DIR=str(tmp_path / "trackio"))
    assert "logged to trackio, project students" in logged.stdout
    import sqlite3

    (database,) = (tmp_path / "trackio").glob("*.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("select step, metrics from metrics").fetchall()
    assert any(step == 500 and b"math500/pass_at_1" in metrics for step, metrics in rows)


def test_an_unknown_tracker_is_an_error_before_anything_is_generated() -> None:
    with pytest.raises(EvalkitError) as caught:
        parse_tracker("tensorbord")
    assert "wandb" in str(caught.value.hint)
    assert "tensorbord" in told(evalkit("run", "nowhere", "-t", "arithmetic", "--log-to", "tensorbord", code=2))


@pytest.mark.slow
def test_a_tracker_that_is_not_there_is_one_sentence(run: RunDirectory) -> None:
    nowhere = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    failed = evalkit("export", run.path, "--to", "mlflow", code=2, **nowhere)
    assert "mlflow did not take the figures" in told(failed)
