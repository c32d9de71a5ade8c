"""HTTP: GraphQL, the file stream, uploads and downloads."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.wandb_service.faults import Faults
from tests.wandb_service.operations import OPERATIONS, Unknown
from tests.wandb_service.state import State

_OPERATION = re.compile(r"\b(?:query|mutation)\s+(\w+)")
_STREAM = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")


class WandbService(ThreadingHTTPServer):
    """Attributes: state: what it was told. faults: how it fails. calls: requests by name."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state, self.faults = State(), Faults()
        self.calls: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL request; raises Unknown for an operation that is not served."""
        name = found[1] if (found := _OPERATION.search(query)) else query[:80]
        with self.lock:
            self.calls[name] += 1
            if name not in OPERATIONS:
                self.unknown.append(name)
                raise Unknown(f"the stand-in knows no operation {name}")
            return OPERATIONS[name](self.state, variables, self.url)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no error here."""


class _Handler(BaseHTTPRequestHandler):
    server: WandbService
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if (status := self.server.faults.of(self.path)) is not None:
            return self._reply({"error": "planted"}, status)
        content = json.loads(body or b"{}")
        if stream := _STREAM.search(self.path):
            with self.server.lock:
                self.server.calls["file_stream"] += 1
                self.server.state.upsert_run(*map(unquote, stream.groups()))[0].stream(content)
            return self._reply({"exitcode": None, "limits": {}})
        try:
            data = self.server.answer(content["query"], content.get("variables") or {})
        except Unknown as error:
            return self._reply({"errors": [{"message": str(error)}], "data": None})
        return self._reply({"data": data})

    def do_PUT(self) -> None:
        """An upload: the path is the name under which it is kept."""
        body = self._body()
        if (status := self.server.faults.of(self.path)) is not None:
            return self._reply({"error": "planted"}, status)
        with self.server.lock:
            name = unquote(urlsplit(self.path).path)
            self.server.state.uploads[name] = body
        return self._reply({})

    def do_GET(self) -> None:
        self._body()
        name = unquote(urlsplit(self.path).path)
        with self.server.lock:
            content = self.server.state.uploads.get(name)
        self._send(content or b"", 200 if content is not None else 404)

    def log_message(self, *arguments: Any) -> None:
        pass

    def _body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _reply(self, content: dict[str, Any], status: int = 200) -> None:
        self._send(json.dumps(content).encode(), status)

    def _send(self, data: bytes, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
