"""Serves a site on this machine alone, and keeps it up to date while its runs go on."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from evalkit.errors import EvalkitError
from evalkit.results.site.export import Site

logger = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "worker-src blob:; base-uri 'none'; form-action 'none'"
)
"""The Content-Security-Policy that index.html has too; `frame-ancestors` counts in a header only."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
LOOK_EVERY = 2.0  # seconds between two looks at the runs' files


class SiteServer(ThreadingHTTPServer):
    """Serves the files of one folder on 127.0.0.1; port 0 takes a free one."""

    daemon_threads = True
    request_queue_size = 128  # a page asks for many pieces at once

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder.resolve()
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise EvalkitError(
                f"Port {port} of 127.0.0.1 cannot be used: {error.strerror}.", "choose another one with --port."
            ) from error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: SiteServer
    protocol_version = "HTTP/1.1"
    server_version = "evalkit"
    sys_version = ""
    timeout = 30

    def log_message(self, *_: object) -> None:
        """Nothing: a page asks for its data every two seconds."""

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        # another site's page could reach this server under a name of its own that resolves to 127.0.0.1
        name, _, port = self.headers.get("Host", "").rpartition(":")
        if name not in _LOCAL or port != str(self.server.server_port):
            self._send(421, "text/plain", b"This server answers to 127.0.0.1 and localhost only.\n", with_body)
            return
        path = self._file()
        if path is None:
            self._send(404, "text/plain", b"There is no such file.\n", with_body)
            return
        try:
            body = path.read_bytes()
        except OSError:
            self._send(404, "text/plain", b"There is no such file.\n", with_body)
            return
        self._send(200, _TYPES[path.suffix], body, with_body)

    def _file(self) -> Path | None:
        """The file of the site that was asked for; None where it is none of it, or is reached by a link."""
        asked = unquote(urlsplit(self.path).path).lstrip("/") or "index.html"
        if "\0" in asked or "\\" in asked:
            return None
        path = self.server.folder / asked
        try:
            real = path.resolve(strict=True)
        except (OSError, ValueError):
            return None
        inside = real.is_relative_to(self.server.folder) and real == path and real.suffix in _TYPES
        return real if inside and real.is_file() else None

    def _send(self, status: int, kind: str, body: bytes, with_body: bool) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", f"{POLICY}; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if with_body:
            self.wfile.write(body)


@contextmanager
def serving(site: Site, port: int = 0, every: float = LOOK_EVERY) -> Iterator[SiteServer]:
    """Serve `site` in the background and refresh it every so many seconds.

    Raises EvalkitError where the port is taken. A run that cannot be read while it is followed is told of once.
    """
    server = SiteServer(site.folder, port)
    ended = threading.Event()

    def follow() -> None:
        told = ""
        while not ended.wait(every):
            try:
                site.refresh()
                told = ""
            except EvalkitError as error:
                if error.message != told:
                    logger.warning("not updated: %s", error.message)
                told = error.message

    threads = [threading.Thread(target=server.serve_forever, daemon=True), threading.Thread(target=follow, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        yield server
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        threads[1].join(timeout=60)
