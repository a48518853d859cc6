"""Whether two descriptions (run.json) are of the same run: what has to be equal, and what is only a label.

The identity of a run is the content of the checkpoint (weights, tokenizer, chat template, code), the settings and the
prompts. The model's name, the place of a task file and what only grades completions may change. A server does not
show the content of its model: there the name is part of the identity, that of the server and MODEL where it is another.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.visible import visible_line

_CONTENT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_ADDED = {"code", "tokenizer"}
"""Fields of the engine's identity that runs of earlier versions do not have."""
_GRADING = {"version", "task_file_sha256"}
"""Fields of a task's identity that change scores and no completion: the scores are made again."""

Difference = tuple[str, Any, Any]


def model_label(model: str) -> str:
    """MODEL as the name of a model: of a folder its name, wherever it lies."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def identity_of(description: Mapping[str, Any]) -> dict[str, Any]:
    """The identity in a run.json; MODEL is added where an earlier version did not record it beside a server's name."""
    identity = dict(description["identity"])
    engine, model = identity.get("engine"), description.get("model")
    if isinstance(engine, dict) and engine.get("backend") == "openai" and isinstance(model, str):
        served = str(engine.get("model"))
        if (label := model_label(model)) not in (served, model_label(served)):
            identity["engine"] = {"label": label, **engine}
    return identity


def run_differences(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[Difference]:
    """(field, present value, wanted value) for each setting of two runs that makes them different runs."""
    old_engine, new_engine = dict(present.get("engine") or {}), dict(wanted.get("engine") or {})
    for name in _ADDED - old_engine.keys():
        new_engine.pop(name, None)
    if all(_CONTENT.fullmatch(str(engine.get("fingerprint"))) for engine in (old_engine, new_engine)):
        for engine in (old_engine, new_engine):
            engine.pop("model", None)
            engine.pop("label", None)
    old, new = ({k: v for k, v in side.items() if k != "engine"} for side in (present, wanted))
    if "options" in old:
        new.setdefault("options", {})
    else:  # of an earlier version, or of an engine whose identity names every option
        new.pop("options", None)
    if old_engine.get("backend") == new_engine.get("backend") == "replay":
        old.pop("protocol", None)  # recorded completions do not depend on it
        new.pop("protocol", None)
    return [*_differences("engine", old_engine, new_engine), *_differences("", old, new)]


def task_differences(
    present: Mapping[str, Any], wanted: Mapping[str, Any], left_out: Collection[str] = ()
) -> list[Difference]:
    """As `run_differences`, for the entries of one task, without the fields `left_out` of their identities.

    A task file may change as long as the messages of the problems that both have are the same. Where an entry of an
    earlier version does not record them, the file has to be unchanged.
    """
    old, new = dict(present["identity"]), dict(wanted["identity"])
    known, now = prompt_digests(present), prompt_digests(wanted)
    if known is not None and now is not None:
        changed = [key for key, digest in now.items() if known.get(key, digest) != digest]
        if changed:
            return [(f"the prompt of problem {changed[0]}", known[changed[0]], now[changed[0]])]
    only_grade = _GRADING if known is not None or old.get("task_file_sha256") is None else {"version"}
    for side in (old, new):
        for name in {*only_grade, *left_out}:
            side.pop(name, None)
    return list(_differences("", old, new))


def require_same_task(path: Path, name: str, present: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises EvalkitError if two entries of a run are of two tasks that only have the same name.

    One is installed and the other is of a file, or they have no problem in common. What a file's task is changed to is
    the same task, and so is a file that was moved.
    """
    files = [(entry.get("spec") or {}).get("file") for entry in (present, wanted)]
    origins = [f"of {file}" if file is not None else "installed" for file in files]
    ids = [set(entry["problem_ids"]) for entry in (present, wanted)]
    if (files[0] is None) != (files[1] is None):
        why = f"{origins[0]}, and the one asked for is {origins[1]}"
    elif all(ids) and not ids[0] & ids[1]:
        why = f"{origins[0]} and has none of the problems that are asked for"
    else:
        return
    raise EvalkitError(
        f"The run in {path} has another task named {name}: it is {why}.",
        "choose another folder with -o, or give the task another name.",
    )


def prompt_digests(entry: Mapping[str, Any]) -> dict[str, str] | None:
    """The digest of each problem's messages by problem id, None where the entry does not have them."""
    digests = entry.get("problem_prompts")
    if not isinstance(digests, list) or len(digests) != len(entry["problem_ids"]):
        return None
    return dict(zip(entry["problem_ids"], map(str, digests), strict=True))


def refuse_differences(path: Path, where: str, differences: list[Difference]) -> None:
    """Raises EvalkitError, naming the first four, if there are differences."""
    if differences:
        changes = "; ".join(f"{where}{_told(*difference)}" for difference in differences[:4])
        hint = "use the same options to resume it, or choose another folder with -o for a new run."
        changed = {name: old for name, old, _ in differences}
        if changed.keys() == {"data"}:
            hint = (
                f"use the same data to resume it; `evalkit score {path}` grades what it has again where only right "
                "answers of your own data were corrected; or choose another folder with -o for a new run."
            )
        if changed.keys() - {"engine.response_prefix"} == {"engine.fingerprint"}:  # the prefix follows the template
            hint = (
                f"the checkpoint itself has changed: on the hub, --revision {changed['engine.fingerprint']} resumes "
                "the run; or choose another folder with -o."
            )
        raise EvalkitError(f"The run in {path} has other settings: {changes}.", hint)


def _told(name: str, old: Any, new: Any) -> str:
    """One difference in words. Of data sets the names are told, and how their fingerprints begin."""
    if name == "data":
        return f"data was {_data_sets(old)} and is now {_data_sets(new)}"
    return f"{name} was {old!r} and is now {new!r}"


def _data_sets(data: Any) -> str:
    sets = [each for each in data or () if isinstance(each, Mapping)]
    told = [f"{each.get('hub_id')} (sha256 {str(each.get('fingerprint'))[:8]}…)" for each in sets]
    return visible_line(", ".join(told)) or "none"


def content_of(identity: Mapping[str, Any]) -> str:
    """The identity as JSON, without labels: equal for runs that `run_differences` does not tell apart."""
    engine = dict(identity["engine"])
    if _CONTENT.fullmatch(str(engine.get("fingerprint"))):
        engine.pop("model", None)
        engine.pop("label", None)
    return json.dumps({**identity, "engine": engine}, sort_keys=True)


def _differences(name: str, present: Any, wanted: Any) -> Iterator[Difference]:
    if isinstance(present, dict) and isinstance(wanted, dict):
        for key in sorted(present.keys() | wanted.keys()):
            yield from _differences(f"{name}.{key}" if name else key, present.get(key), wanted.get(key))
    elif present != wanted:
        yield name, present, wanted
