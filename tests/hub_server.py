"""A hub on this machine: models and data sets with commits, gates and faults, at the addresses of the real one."""

import hashlib
import io
import json
import re
import threading
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from synthetic import aime_rows, gpqa_csv, gpqa_rows

_LARGE = 4096  # bytes: files above it are served from another, signed address
MODEL = "tiny-org/student-distilled"
FIRST, SECOND = "1" * 40, "2" * 40
AIME = "2fe88a2f1091d5048c0f36abc874fb997b3dd99a"
GPQA = "633f5ee89ab8ad4522a9f850766b73f62147ffdd"
CARD = b"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n---\n"
GPQA_CARD = b"---\nconfigs:\n- config_name: gpqa_diamond\n  data_files: gpqa_diamond.csv\n---\n"
SECRET = "X-Amz-Signature=5ecre7"


@dataclass
class Repo:
    """`commits` maps a commit to its files; `branches` names to commits. `gate` is the token that opens it."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gate: str | None = None

    def resolve(self, revision: str) -> str | None:
        return revision if revision in self.commits else self.branches.get(revision)


class Hub:
    """Serves until `close`. `status` answers every request with it; `cut` breaks off each download half way."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[str] = []
        self.status: int | None = None
        self.cut = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "Hub":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def push(self, kind: str, name: str, commit: str, files: dict[str, bytes] | Path, gate: str | None = None) -> None:
        """A commit, which the main branch moves to."""
        repo = self.repos.setdefault((kind, name), Repo())
        repo.commits[commit] = files_of(files) if isinstance(files, Path) else files
        repo.branches["main"], repo.gate = commit, gate

    def model(self, name: str, commit: str, files: dict[str, bytes] | Path, gate: str | None = None) -> None:
        self.push("models", name, commit, files, gate)

    def dataset(self, name: str, commit: str, files: dict[str, bytes] | Path, gate: str | None = None) -> None:
        self.push("datasets", name, commit, files, gate)


def fill(hub: Hub, model: Path) -> None:
    """A model, a data set in two files, and a gated one."""
    hub.model(MODEL, FIRST, model)
    rows = aime_rows()
    shards = {f"data/train-0000{i}-of-00002.parquet": parquet(rows[15 * i : 15 * (i + 1)]) for i in range(2)}
    hub.dataset("HuggingFaceH4/aime_2024", AIME, {"README.md": CARD, **shards})
    table = {"README.md": GPQA_CARD, "gpqa_diamond.csv": gpqa_csv(gpqa_rows()).encode()}
    hub.dataset("Idavidrein/gpqa", GPQA, table, gate="hf_good")


def parquet(rows: list[dict[str, Any]]) -> bytes:
    import pandas as pd

    out = io.BytesIO()
    pd.DataFrame(rows).to_parquet(out)
    return out.getvalue()


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.posted = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer()

    def _answer(self) -> None:
        parts = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(parts.path)
        self.hub.requests.append(f"{self.command} {path}")
        if self.hub.status is not None:
            return self._json({"error": "told to fail"}, self.hub.status)
        if found := re.fullmatch(r"/signed/([0-9a-f]{64})", path):
            return self._signed(found[1])
        if found := re.fullmatch(
            r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(/.*)?)?", path
        ):
            return self._api(*found.groups())
        if found := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file("datasets" if found[1] else "models", *found.groups()[1:])
        return self._json({"error": "Not Found"}, 404)

    def _repo(self, kind: str, name: str, revision: str) -> tuple[Repo, str] | None:
        """The repository and the commit; None where the request has been answered with an error."""
        repo, token = (
            self.hub.repos.get((kind, name)),
            (self.headers.get("Authorization") or "").removeprefix("Bearer "),
        )
        if repo is None:
            self._error(404 if token else 401, "RepoNotFound", "Repository not found")
        elif repo.gate and token != repo.gate:
            self._error(403 if token else 401, "GatedRepo", f"Access to {name} is restricted.")
        elif (commit := repo.resolve(revision)) is None:
            self._error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo, commit
        return None

    def _api(self, kind: str, name: str, what: str | None, revision: str | None, below: str | None) -> None:
        if (found := self._repo(kind, name, revision or "main")) is None:
            return None
        repo, commit = found
        files = repo.commits[commit]
        if what == "tree":
            folder = (below or "").strip("/")
            inside = {n: c for n, c in files.items() if not folder or n.startswith(f"{folder}/")}
            if folder and not inside:
                return self._error(404, "EntryNotFound", f"{folder} does not exist")
            recursive = "recursive=true" in self.path.lower()
            start = len(folder) + 1 if folder else 0
            listed: dict[str, dict[str, Any]] = {}
            for each, content in inside.items():
                head, slash, _ = each[start:].partition("/")
                if slash and not recursive:
                    where = each[: start + len(head)]
                    listed[where] = {"type": "directory", "oid": "0" * 40, "size": 0, "path": where}
                else:
                    listed[each] = _entry(each, content)
            return self._json(list(listed.values()))
        if what == "paths-info":
            body = self.posted.decode()
            wanted = json.loads(body)["paths"] if body.startswith("{") else urllib.parse.parse_qs(body).get("paths", [])
            return self._json([_entry(each, files[each]) for each in wanted if each in files])
        sizes = [{"rfilename": each, "size": len(content)} for each, content in files.items()]
        facts = {
            "_id": "0",
            "id": name,
            "modelId": name,
            "sha": commit,
            "siblings": sizes,
            "tags": [],
            "private": False,
        }
        return self._json({**facts, "downloads": 0, "likes": 0, "lastModified": "2025-01-01T00:00:00.000Z"})

    def _file(self, kind: str, name: str, revision: str, path: str) -> None:
        if (found := self._repo(kind, name, revision)) is None:
            return None
        repo, commit = found
        content = repo.commits[commit].get(path)
        if content is None:
            return self._error(404, "EntryNotFound", "Entry not found", {"X-Repo-Commit": commit})
        facts = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if len(content) <= _LARGE:
            return self._bytes(content, {**facts, "ETag": f'"{_git_hash(content)}"'})
        digest = hashlib.sha256(content).hexdigest()
        where = f"{self.hub.endpoint.replace('127.0.0.1', 'localhost')}/signed/{digest}?{SECRET}"
        facts |= {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{digest}"', "Location": where}
        return self._reply(302, b"", facts)

    def _signed(self, digest: str) -> None:
        for repo in self.hub.repos.values():
            for files in repo.commits.values():
                for content in files.values():
                    if len(content) > _LARGE and hashlib.sha256(content).hexdigest() == digest:
                        return self._bytes(content, {"ETag": f'"{digest}"'})
        return self._json({}, 404)

    def _bytes(self, content: bytes, headers: dict[str, str]) -> None:
        first, status = 0, 200
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(found[1]), int(found[2] or len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            content, status = content[first : last + 1], 206
        if self.hub.cut and self.command == "GET" and len(content) > _LARGE:
            self._head(status, {**headers, "Content-Length": str(len(content))})
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.close_connection = True
            return
        self._reply(status, content, headers, "application/octet-stream")

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        self._json({"error": message}, status, {"X-Error-Code": code, "X-Error-Message": message, **(headers or {})})

    def _json(self, content: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._reply(status, json.dumps(content).encode(), headers or {})

    def _reply(self, status: int, content: bytes, headers: dict[str, str], kind: str = "application/json") -> None:
        self._head(status, {"Content-Type": kind, "Content-Length": str(len(content)), **headers})
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    return {"type": "file", "oid": _git_hash(content), "size": len(content), "path": path}


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
