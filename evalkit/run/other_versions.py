"""Runs of the same command with another version of the checkpoint."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError
from evalkit.store.run import RunDirectory


def tell_other_version(path: Path, identity: Mapping[str, Any]) -> str | None:
    """One line where a new run directory stands beside a run that differs in the checkpoint's version alone.

    That is what a branch on the hub does when it moves between two commands.
    """
    if path.exists() or not path.parent.is_dir():
        return None
    wanted = json.loads(json.dumps(identity))
    for folder in sorted(path.parent.iterdir()):
        try:
            found = RunDirectory(folder).record().content["identity"]
        except EvalkitError:  # no run, or one that another version of evalkit reads
            continue
        before, now = (_version(each) for each in (found, wanted))
        if before != now and _without_version(found) == _without_version(wanted):
            return (
                f"the checkpoint has changed since {folder}: its version was {before} and is {now}. This is another "
                f"run; on the hub, --revision {before} goes on with that one"
            )
    return None


def _version(identity: Mapping[str, Any]) -> Any:
    return (identity.get("engine") or {}).get("fingerprint")


def _without_version(identity: Mapping[str, Any]) -> dict[str, Any]:
    engine = {
        key: value
        for key, value in (identity.get("engine") or {}).items()
        if key not in ("fingerprint", "response_prefix")
    }
    return {**identity, "engine": engine}
