"""A W&B server on loopback, enough for one run: it proves what the client sends, nothing more."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WandbStub(ThreadingHTTPServer):
    """Attributes: buckets: variables of each UpsertBucket. streams: bodies of the file stream."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.buckets: list[dict[str, Any]] = []
        self.streams: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def lines(self, file: str) -> list[dict[str, Any]]:
        """The JSON lines of one file of the stream, such as `wandb-history.jsonl`."""
        contents = [body.get("files", {}).get(file, {}) for body in self.streams]
        return [json.loads(line) for part in contents for line in part.get("content", [])]

    def answer(self, operation: str, variables: dict[str, Any]) -> dict[str, Any]:
        entity = {"id": "e", "name": "entity"}
        project = {"id": "p", "name": "project", "entity": entity}
        if operation == "UpsertBucket":
            self.buckets.append(variables)
            bucket = {"id": "b", "name": variables["name"], "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if operation == "RunResumeStatus":
            return {"model": {**project, "bucket": None}}
        if operation == "CreateRunFiles":
            files = [{"name": n, "uploadUrl": f"{self.url}/upload"} for n in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        return {}


@contextmanager
def wandb_stub() -> Iterator[WandbStub]:
    with WandbStub() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: WandbStub

    def do_POST(self) -> None:
        body = json.loads(self._body() or b"{}")
        if self.path.startswith("/graphql"):
            operation = body.get("operationName") or body["query"].split("(")[0].split()[-1]
            self._reply({"data": self.server.answer(operation, body.get("variables", {}))})
        else:
            self.server.streams.append(body)
            self._reply({"exitcode": None, "limits": {}})

    def do_PUT(self) -> None:
        self._body()
        self._reply({})

    do_GET = do_PUT

    def log_message(self, *arguments: Any) -> None:
        pass

    def _body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _reply(self, content: dict[str, Any]) -> None:
        data = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
