"""The server behind `scaling serve`: this machine only, read-only, four addresses.

    /               the report, or a page that waits for it
    /status.json    the sweep now
    /logs/RUN_ID    the end of a cell's log, as plain text

A path of a request never becomes a path of a file: it is one of these, and RUN_ID is looked up
among the cells of the sweep. A request whose Host is not this server's is refused, so that no other
site can reach it through a name that it points to 127.0.0.1. Answers carry an ETag.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from scaling.errors import StoreError
from scaling.logs import LOG, read_blocks
from scaling.serving.status_json import status_json

if TYPE_CHECKING:
    from scaling.serving.report_maker import ReportMaker
    from scaling.store import Store
    from scaling.sweep_status import StatusReader, SweepStatus

HOST = "127.0.0.1"
_LOG_LINES = 400
# Several pages that look at once make one look at the store.
_STATUS_SECONDS = 1.0
_IDLE_SECONDS = 30.0
# What the page of a file forbids and the served one needs: to ask this server how the sweep is.
_SEALED, _SERVED = b"connect-src 'none'", b"connect-src 'self'"
_PLAIN_TAG = b'<html lang="en">'

_HEADERS = {
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class SweepServer(ThreadingHTTPServer):
    """Serves one sweep; every answer is made from the store as it is at that moment."""

    daemon_threads = True

    def __init__(
        self, store: Store, sweep: str, reader: StatusReader, report: ReportMaker, *, port: int
    ) -> None:
        super().__init__((HOST, port), _Handler)
        self._store, self._sweep = store, sweep
        self._reader, self._report = reader, report
        self._lock = threading.Lock()
        self._status: SweepStatus | None = None
        self._read_at = 0.0

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/"

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the Host of a request may be."""
        return (f"{HOST}:{self.server_port}", f"localhost:{self.server_port}")

    def status(self) -> SweepStatus:
        with self._lock:
            if self._status is None or time.monotonic() - self._read_at > _STATUS_SECONDS:
                self._status, self._read_at = self._reader.read(), time.monotonic()
            return self._status

    def page(self) -> bytes:
        """The report, told that it is served and which one it is."""
        made = self._report.page() or _WAITING
        tag = f'<html lang="en" data-live="status.json" data-report="{digest(made)}">'
        made = made.replace(_SEALED, _SERVED, 1)
        return made.replace(_PLAIN_TAG, tag.encode(), 1)

    def status_bytes(self) -> bytes:
        status = self.status()
        self._report.look(status)
        told = status_json(status) | {
            "report": digest(self._report.page() or _WAITING),
            "report_note": self._report.note,
            "is_final": self._report.is_final,
        }
        return json.dumps(told, allow_nan=False).encode()

    def log_bytes(self, run_id: str) -> bytes | None:
        """The end of a cell's log; None where the sweep has no such cell or the cell no log."""
        if run_id not in {cell.run_id for cell in self.status().cells}:
            return None
        with contextlib.suppress(StoreError):
            blocks = read_blocks(self._store.folder(run_id) / LOG, tail=_LOG_LINES)
            return "".join(blocks).encode("utf-8", "backslashreplace") or None
        return None


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD; any other method is answered 501 by the base class."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "scaling", ""
    timeout = _IDLE_SECONDS
    server: SweepServer

    def do_GET(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._answer(with_body=True)

    def do_HEAD(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self._send(HTTPStatus.MISDIRECTED_REQUEST, b"another host is meant\n", "text/plain")
            return
        if self.path == "/favicon.ico":
            self._send(HTTPStatus.NO_CONTENT, b"", "image/x-icon")
            return
        kind, content = self._content()
        if content is None:
            self._send(HTTPStatus.NOT_FOUND, b"there is no such page\n", "text/plain")
            return
        tag = f'"{digest(content)}"'
        if tag in self.headers.get("If-None-Match", ""):
            self._send(HTTPStatus.NOT_MODIFIED, b"", kind, tag=tag)
            return
        self._send(HTTPStatus.OK, content, kind, tag=tag, with_body=with_body)

    def _content(self) -> tuple[str, bytes | None]:
        path = self.path.partition("?")[0]
        pages: dict[str, tuple[str, Callable[[], bytes]]] = {
            "/": ("text/html", self.server.page),
            "/status.json": ("application/json", self.server.status_bytes),
        }
        if path in pages:
            kind, make = pages[path]
            return kind, make()
        if path.startswith("/logs/"):
            return "text/plain", self.server.log_bytes(path.removeprefix("/logs/"))
        return "text/plain", None

    def _send(
        self, status: HTTPStatus, content: bytes, kind: str, *, tag: str = "",
        with_body: bool = True,
    ) -> None:  # fmt: skip
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        if tag:
            self.send_header("ETag", tag)
        if status not in (HTTPStatus.NOT_MODIFIED, HTTPStatus.NO_CONTENT):
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body and content:
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (its name there)
        """Says nothing: the terminal belongs to what the user sees there."""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


_WAITING = (
    b'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>scaling</title>\n'
    b'<meta http-equiv="refresh" content="1"></head>\n<body><p>The report is being made; this '
    b"page looks again every second.</p></body></html>\n"
)
