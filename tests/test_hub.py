"""The main job from a hub: commits, gates, the cache, faults. `hub_server` stands for the hub."""

import errno
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import REPOSITORY, evalkit, records, told
from hub_server import AIME, FIRST, MODEL, SECOND, SECRET, Hub, files_of, parquet
from synthetic import aime_rows

from evalkit.engines.checkpoint import Checkpoint
from evalkit.engines.weights import fetch_weights, weight_bytes
from evalkit.errors import EvalkitError
from evalkit.hub import Repository, may_be_folder, without_keys
from evalkit.run.evaluate import plan_run


def environment(endpoint: str, home: Path, **more: str) -> dict[str, Any]:
    fixed = {"EVALKIT_DATA": "", "HF_HUB_OFFLINE": "0", "HF_TOKEN": "", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**fixed, "HF_ENDPOINT": endpoint, "HF_HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}


def run(folder: Path, *options: object, code: int = 0, **env: Any) -> subprocess.CompletedProcess[str]:
    common = ["-n", 1, "--limit", 2, "--max-tokens", 6, "--device", "cpu", "--engine", "transformers"]
    return evalkit("run", MODEL, "-t", "aime24", *common, "--results", folder, *options, code=code, **env)


def run_directories(folder: Path) -> list[Path]:
    return sorted(path.parent for path in folder.rglob("run.json"))


@pytest.mark.slow
def test_the_main_job_from_the_hub_and_offline(hub: Hub, tmp_path: Path) -> None:
    """Model and data come by commit, the log has no requests, and what was fetched serves without the hub."""
    env = environment(hub.endpoint, tmp_path / "home")
    done = run(tmp_path / "results", "--allow-changed-data", **env)
    assert "HTTP Request" not in done.stderr
    assert SECRET not in done.stderr
    [folder] = run_directories(tmp_path / "results")
    record = json.loads((folder / "run.json").read_text())
    assert record["identity"]["engine"]["fingerprint"] == FIRST
    [data] = record["tasks"]["aime24"]["data"]
    assert (data["revision"], data["rows"], data["source"]) == (AIME, 30, "hub:HuggingFaceH4/aime_2024")
    by_branch = [each for each in hub.requests if "/resolve/main/" in each]
    assert not by_branch, "everything is loaded by the commit that was seen first"

    asked = len(hub.requests)
    before = (folder / "aime24" / "completions.jsonl").read_bytes()
    done = run(tmp_path / "results", "--allow-changed-data", **{**env, "HF_HUB_OFFLINE": "1"})
    assert "0 completions to generate, 2 already on disk" in done.stderr
    assert run_directories(tmp_path / "results") == [folder]
    assert (folder / "aime24" / "completions.jsonl").read_bytes() == before
    assert len(hub.requests) == asked, "offline nothing is asked"
    error = told(
        run(
            tmp_path / "other",
            "--allow-changed-data",
            code=2,
            **environment("http://127.0.0.1:9", tmp_path / "new", HF_HUB_OFFLINE="1"),
        )
    )
    assert "offline" in error
    assert AIME in error


@pytest.mark.slow
def test_a_branch_that_moves_is_another_run(hub: Hub, sharded: Path, tmp_path: Path) -> None:
    env = environment(hub.endpoint, tmp_path / "home")
    run(tmp_path / "results", "--allow-changed-data", **env)
    [first] = run_directories(tmp_path / "results")
    changed = {**files_of(sharded), "chat_template.jinja": b"{% for m in messages %}{{ m['content'] }}!{% endfor %}"}
    hub.model(MODEL, SECOND, changed)
    done = run(tmp_path / "results", "--allow-changed-data", **env)
    assert f"its version was {FIRST} and is {SECOND}" in done.stderr
    assert len(run_directories(tmp_path / "results")) == 2
    done = run(tmp_path / "results", "--allow-changed-data", "-n", 2, "--revision", FIRST, **env)
    assert "2 completions to generate, 2 already on disk" in done.stderr
    assert len(records(first / "aime24" / "completions.jsonl")) == 4
    refused = run(tmp_path / "results", "--allow-changed-data", "-o", first, code=2, **env)
    assert f"engine.fingerprint was '{FIRST}' and is now '{SECOND}'" in told(refused)
    assert f"--revision {FIRST}" in refused.stderr


@pytest.mark.slow
def test_gates_say_how_to_log_in(hub: Hub, sharded: Path, tmp_path: Path) -> None:
    hub.model(MODEL, FIRST, sharded, gate="hf_good")
    env = environment(hub.endpoint, tmp_path / "home")
    command = ["run", MODEL, "-t", "arithmetic", "--limit", 1, "--device", "cpu", "--dry-run"]
    refused = evalkit(*command, code=2, **env)
    assert told(refused) == f"The model {MODEL} is gated, and nobody is logged in."
    assert "hf auth login" in refused.stderr
    assert f"{hub.endpoint}/{MODEL}" in refused.stderr, "the hint names the hub that was asked"
    refused = evalkit(*command, code=2, **{**env, "HF_TOKEN": "hf_other"})
    assert told(refused) == f"The model {MODEL} is gated, and this account has no access to it."
    evalkit(*command, **{**env, "HF_TOKEN": "hf_good"})
    question = [
        "run",
        MODEL,
        "-t",
        "gpqa_diamond",
        "--limit",
        1,
        "--device",
        "cpu",
        "--dry-run",
        "--allow-changed-data",
    ]
    refused = evalkit(*question, code=2, **{**env, "HF_TOKEN": "hf_other"})
    assert told(refused) == "The data set Idavidrein/gpqa is gated, and this account has no access to it."
    done = evalkit(*question, **{**env, "HF_TOKEN": "hf_good"})
    assert "Which number follows" in done.stdout


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.parametrize("model", [MODEL, "tiny-org/sharded"])
def test_the_main_job_against_another_stand_in(
    data_dir: Path, sharded: Path, tiny_checkpoint: Path, tmp_path: Path, model: str
) -> None:
    """A hub that others wrote, with the real data sets: by commit, offline, gated, moved."""
    tools = data_dir.parent / "tools" / "fakehub"
    if not tools.is_dir():
        pytest.skip(f"{tools} is not there")
    root, home = tmp_path / "root", tmp_path / "home"
    subprocess.run([sys.executable, tools / "make_repos.py", root, REPOSITORY, data_dir], check=True)
    other = root / "models" / "tiny-org" / "sharded"
    shutil.copytree(sharded, other)
    (other / ".hub.json").write_text(json.dumps({"commit": FIRST, "gated": False}))
    with Hub() as port_finder:
        port = port_finder.endpoint.rpartition(":")[2]
    server = subprocess.Popen([sys.executable, tools / "hub.py", root, port, "--log", tmp_path / "hub.log"])
    env = environment(f"http://127.0.0.1:{port}", home)
    common = ["-n", 1, "--limit", 2, "--max-tokens", 6, "--device", "cpu", "--engine", "transformers"]
    command = ["run", model, "-t", "aime24,math500", *common, "--results", tmp_path / "results"]
    try:
        _wait_for(port)
        done = evalkit(*command, **env)
        assert "HTTP Request" not in done.stderr
        [folder] = run_directories(tmp_path / "results")
        record = json.loads((folder / "run.json").read_text())
        assert record["identity"]["engine"]["fingerprint"] == FIRST
        assert record["tasks"]["aime24"]["data"][0]["revision"] == AIME
        offline = evalkit(*command, **{**env, "HF_HUB_OFFLINE": "1"})
        assert "0 completions to generate, 4 already on disk" in offline.stderr
        assert "gated" in told(evalkit(*_with_task(command, "gpqa_diamond"), code=2, **env))
        evalkit(*_with_task(command, "gpqa_diamond"), "--allow-changed-data", **{**env, "HF_TOKEN": "hf_good"})
        place = root / "models" / model / ".hub.json"
        place.write_text(json.dumps({"commit": SECOND, "gated": False}))
        done = evalkit(*command, **env)
        assert f"its version was {FIRST} and is {SECOND}" in done.stderr
        done = evalkit(*_with_task(command, "codeforces"), "--dry-run", **env)
        assert re.search(r"^codeforces: 2 of \d+ problems", done.stdout, re.MULTILINE), done.stdout
    finally:
        server.terminate()
        server.wait(20)


def _with_task(command: Sequence[object], task: str) -> list[object]:
    place = list(command).index("-t") + 1
    return [*command[:place], task, *command[place + 1 :]]


def _wait_for(port: str) -> None:
    import httpx

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=5)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the hub does not answer")


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def test_a_branch_is_a_commit_even_offline(here: Hub, sharded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository(MODEL)
    assert repository.commit() == repository.commit("main") == FIRST
    assert repository.commit(SECOND) == SECOND, "a commit is taken as it is"
    here.model(MODEL, SECOND, sharded)
    assert repository.commit() == SECOND
    go_offline(monkeypatch)
    assert repository.commit() == SECOND, "the one that was seen last"
    with pytest.raises(EvalkitError, match=r"offline \(HF_HUB_OFFLINE\), and the cache does not have revision v2"):
        repository.commit("v2")
    with pytest.raises(EvalkitError, match="offline"):
        Repository("tiny-org/other").commit()


def test_a_hub_that_is_down_gives_way_to_the_cache(here: Hub, caplog: pytest.LogCaptureFixture) -> None:
    repository = Repository(MODEL)
    commit = repository.commit()
    here.status = 503
    assert repository.commit() == commit
    assert "does not answer" in caplog.text
    with pytest.raises(EvalkitError, match=r"answered 503 for the model tiny-org/other") as caught:
        Repository("tiny-org/other").commit()
    assert "again" in caught.value.hint


def test_files_come_from_one_commit_and_offline_from_no_other(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository("HuggingFaceH4/aime_2024", "dataset")
    names = [name for name in repository.files(AIME) if name.endswith(".parquet")]
    paths = repository.fetch(AIME, names)
    assert [path.parent.parent.name for path in paths] == [AIME, AIME]
    here.dataset("HuggingFaceH4/aime_2024", SECOND, {"data/train-00000-of-00001.parquet": parquet(aime_rows(3))})
    go_offline(monkeypatch)
    assert repository.fetch(AIME, names) == paths
    with pytest.raises(EvalkitError, match=f"does not have revision {SECOND}") as caught:
        repository.fetch(SECOND, names)
    assert AIME in caught.value.hint, "which revision there is"


def test_what_does_not_exist_is_one_sentence(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvalkitError, match=f"^{here.endpoint} has no model tiny-org/none, or it is private") as caught:
        Repository("tiny-org/none").commit()
    assert "hf auth login" in caught.value.hint
    with pytest.raises(EvalkitError, match=f"^The model {MODEL} has no revision v9"):
        Repository(MODEL).commit("v9")
    with pytest.raises(EvalkitError, match="lacks a file"):
        Repository(MODEL).fetch(FIRST, ["none.json"])
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EvalkitError, match=r"^http://127\.0\.0\.1:9 cannot be reached") as caught:
        Repository("tiny-org/none").commit()
    assert "HF_ENDPOINT" in caught.value.hint
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.invalid")
    with pytest.raises(EvalkitError, match=r"^https://hub\.invalid cannot be reached"):
        Repository("tiny-org/none").commit()


def test_a_mistyped_folder_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples" / "there").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(EvalkitError, match=r"^There is no folder examples/none here, and http.* cannot be reached"):
        Repository("examples/none").commit()
    with pytest.raises(EvalkitError, match=r"^http.* cannot be reached for the model lab/none"):
        Repository("lab/none").commit()
    assert not may_be_folder("examples/there")
    assert not any(map(may_be_folder, ("gpt2", "./none", "../none", "/none", "~/none")))


@pytest.mark.parametrize(("more", "told"), [({}, True), ({"engine": "replay"}, False)])
def test_a_mistyped_folder_is_told_of_before_its_data(
    more: dict[str, str], told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EvalkitError):
        plan_run("examples/none", "aime24", data=str(tmp_path / "nothing"), **more)  # type: ignore[arg-type]
    assert ("there is no folder examples/none here" in caplog.text) is told


def test_a_download_that_breaks_off_goes_on_later(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("time.sleep", lambda _: None)
    repository = Repository(MODEL)
    name = next(
        name for name in repository.files(FIRST) if name.endswith("00001-of-00002.safetensors") or "model-00001" in name
    )
    here.cut = True
    with pytest.raises(EvalkitError, match=f"^The download of the model {MODEL} broke off") as caught:
        repository.fetch(FIRST, [name])
    assert SECRET not in caught.value.message
    here.cut = False
    [path] = repository.fetch(FIRST, [name])
    assert path.read_bytes() == here.repos["models", MODEL].commits[FIRST][name]


def test_a_full_disk_is_said_before_and_while(here: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 1000))
    with pytest.raises(EvalkitError, match=r"needs .* MB to be downloaded, and 0\.0 MB are free") as caught:
        fetch_weights(Checkpoint(MODEL))
    assert "HF_HOME" in caught.value.hint
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert Repository(MODEL).explain(full).message.startswith("The disk is full: the model")


def test_a_large_download_is_announced(
    here: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("evalkit.hub._TOLD_SIZE", 1000.0)
    caplog.set_level(logging.INFO, "evalkit.hub")
    checkpoint = Checkpoint(MODEL)
    files = fetch_weights(checkpoint)
    assert sum(path.stat().st_size for path in files) == weight_bytes(checkpoint)
    assert f"the model {MODEL}: {len(files)} files, " in caplog.text
    assert "MB, are downloaded to" in caplog.text
    caplog.clear()
    fetch_weights(checkpoint)
    assert not caplog.text, "what is in the cache is not announced"


def test_every_loader_of_a_checkpoint_gets_the_commit(here: Hub, sharded: Path) -> None:
    checkpoint = Checkpoint(MODEL)
    assert checkpoint.fingerprint() == FIRST
    changed = {**files_of(sharded), "chat_template.jinja": b"changed"}
    here.model(MODEL, SECOND, changed)
    assert checkpoint.loading["revision"] == FIRST
    assert checkpoint.tokenizer.chat_template != "changed", "a branch that moves meanwhile is not mixed in"
    assert Checkpoint(MODEL).fingerprint() == SECOND
    assert Checkpoint(MODEL).tokenizer.chat_template == "changed"
    assert Checkpoint(MODEL, FIRST[:40]).fingerprint() == FIRST


def test_the_vllm_engine_passes_the_commit_on(here: Hub) -> None:
    from evalkit.engines.options import VLLMOptions
    from evalkit.engines.vllm.engine import VLLMEngine

    engine = VLLMEngine(MODEL, VLLMOptions(device="cpu"))
    arguments = engine.engine_arguments()
    assert (arguments["revision"], arguments["tokenizer_revision"]) == (FIRST, FIRST)
    assert engine.identity()["fingerprint"] == FIRST


@pytest.mark.parametrize("variable", ["VLLM_USE_MODELSCOPE", "USE_MODELSCOPE_HUB"])
def test_modelscope_is_refused_and_not_ignored(here: Hub, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "True")
    with pytest.raises(EvalkitError, match=f"^{variable} asks for ModelScope") as caught:
        Checkpoint(MODEL).fingerprint()
    assert "modelscope download" in caught.value.hint
    monkeypatch.setenv(variable, "false")
    assert Checkpoint(MODEL).fingerprint() == FIRST


def test_addresses_lose_their_keys() -> None:
    said = "for url 'https://cdn.example/a/b?X-Amz-Signature=1&x=2' (see http://y/z?q)"
    assert without_keys(said) == "for url 'https://cdn.example/a/b' (see http://y/z)"


def test_the_log_has_no_requests(capsys: pytest.CaptureFixture[str]) -> None:
    script = (
        "import logging, sys; from evalkit.cli.main import cli\n"
        "try: cli.main(['protocols'], standalone_mode=False)\n"
        "finally:\n"
        "  for name in ('httpx2', 'httpx', 'huggingface_hub.utils._http', 'datasets'):\n"
        "    logging.getLogger(name).setLevel(logging.INFO)\n"
        "    logging.getLogger(name).info('HTTP Request: GET https://x/y?Signature=1')\n"
        "  logging.getLogger('evalkit.x').info('ours')\n"
        "  logging.getLogger('a_plugin').info('theirs')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "Signature" not in done.stderr
    assert done.stderr.splitlines()[-2:] == ["ours", "theirs"]
