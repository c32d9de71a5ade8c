"""`scaling serve`: this machine only, read-only, nothing outside the store, text stays text."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaling.errors import StoreError
from scaling.live import LiveWriter
from scaling.serving import report_maker
from scaling.serving.report_maker import ReportMaker
from scaling.serving.server import SweepServer
from scaling.store import Store
from scaling.sweep_status import StatusReader
from scaling.watch import Progress
from tests.factories import make_record, make_spec
from tests.test_cli import assert_one_line, scaling

HOSTILE = "<script>alert(1)</script>\"'\x1b[2J" + "x" * 10_000
RUNNING, FAILED = make_spec(seed=0), make_spec(seed=1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A cell that runs and one that failed, with a name and a log that mean harm."""
    store = Store(tmp_path / "runs")
    listed = []
    for spec in (RUNNING, FAILED):
        store.add(spec)
        labels = {"size": HOSTILE, "seed": spec.seed}
        listed.append({"run_id": spec.run_id, "labels": labels, "depends_on": None,
                       "excluded": None, "spec": spec.to_dict()})  # fmt: skip
        claim = store.claim(spec.run_id)
        assert claim is not None
        (store.folder(spec.run_id) / "log.txt").write_text(f"first\n{HOSTILE}\n")
        writer = LiveWriter(claim)
        writer.take(Progress(tokens=512, train_tokens=1024, tokens_per_second=64.0,
                             losses={"clm": 2.5}))  # fmt: skip
        writer.write()
        if spec is FAILED:
            store.publish(claim, make_record(spec, "failed"))
    store.write_sweep("hostile", "", listed)
    (tmp_path / "secret.txt").write_text("secret")
    return store


@pytest.fixture
def server(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SweepServer]:
    """A server with a report at hand, whose making is not what is tested here."""
    monkeypatch.setattr(ReportMaker, "look", lambda self, status: None)
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / "report.html").write_text(
        '<!doctype html>\n<html lang="en">\n<meta content="default-src \'none\'; connect-src '
        "'none'\"><p>connect-src 'none' as text</p>"
    )
    report = ReportMaker(store.sweep_folder("hostile"), folder)
    made = SweepServer(store, "hostile", StatusReader(store, "hostile"), report, port=0)
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def ask(
    server: SweepServer, path: str, *, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    given = {"Host": server.hosts[0]} | {k.replace("_", "-"): v for k, v in headers.items()}
    connection.putrequest(method, path, skip_host=True)
    for name, value in given.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_the_page_may_ask_this_server_and_no_other(server: SweepServer) -> None:
    answer, page = ask(server, "/")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.count(b"connect-src 'self'") == 1
    assert b"connect-src 'none' as text" in page  # only the policy in front is changed
    assert b'data-live="status.json"' in page


def test_what_is_unchanged_is_not_sent_again(server: SweepServer) -> None:
    for path in ("/", "/status.json", f"/logs/{FAILED.run_id}"):
        first, content = ask(server, path)
        again, nothing = ask(server, path, If_None_Match=first.headers["ETag"])
        assert (first.status, again.status) == (200, 304)
        assert content
        assert nothing == b""
        other, _ = ask(server, path, If_None_Match='"another"')
        assert other.status == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "", "0.0.0.0:1"])
def test_another_host_name_is_refused(server: SweepServer, host: str) -> None:
    answer, content = ask(server, "/status.json", Host=host)
    assert answer.status == 421
    assert b"hostile" not in content


def test_the_server_listens_on_this_machine_alone(server: SweepServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/", Host=f"localhost:{server.server_port}")[0].status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/logs/../../../secret.txt", "/logs/%2e%2e/%2e%2e/secret.txt", "/../secret.txt",
        "//secret.txt", "/logs/", "/logs/0123456789abcdef", "/runs/cells", "/report.html",
        "/logs//etc/passwd", f"/logs/{RUNNING.run_id}/log.txt", f"/logs/{RUNNING.run_id}%00",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_store(server: SweepServer, path: str) -> None:
    answer, content = ask(server, path)
    assert answer.status == 404
    assert content == b"there is no such page\n"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(server: SweepServer, store: Store, method: str) -> None:
    before = sorted(store.root.rglob("*.json"))
    assert ask(server, "/status.json", method=method)[0].status == 501
    assert sorted(store.root.rglob("*.json")) == before


def test_the_status_is_short_and_names_no_path(server: SweepServer, tmp_path: Path) -> None:
    _, content = ask(server, "/status.json")
    assert str(tmp_path).encode() not in content
    status = json.loads(content)
    assert status["counts"] == {"running": 1, "failed": 1}
    (running,), (failed,) = status["running"], status["unmet"]
    assert (running["tokens"], running["losses"]) == (512, {"clm": 2.5})
    assert failed["reason"] == "planted"
    name = failed["labels"]["size"]
    assert name.startswith("<script>alert(1)</script>\"'")
    assert "\x1b" not in name
    assert len(name) < 600


def test_a_log_is_plain_text_without_controls(server: SweepServer) -> None:
    answer, content = ask(server, f"/logs/{FAILED.run_id}")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert content.startswith(b"first\n<script>alert(1)</script>")
    assert b"\x1b" not in content


def test_head_has_the_length_and_no_body(server: SweepServer) -> None:
    _, content = ask(server, "/")
    answer, nothing = ask(server, "/", method="HEAD")
    assert answer.headers["Content-Length"] == str(len(content))
    assert nothing == b""


def test_a_report_that_fails_is_told_in_one_line(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_maker, "_MODULE", "no_such_module_of_ours")
    maker = ReportMaker(store.sweep_folder("hostile"), tmp_path)
    status = StatusReader(store, "hostile").read()
    maker.look(status)
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(timeout=30)
    assert maker.note.startswith("The report could not be made: ")
    assert "no_such_module_of_ours" in maker.note
    assert not maker.is_final
    assert maker.page() is None
    maker.look(status)  # nothing has changed since: it is not tried again
    assert maker.note.startswith("The report could not be made: ")


def test_a_port_that_is_taken_is_said_in_one_line(server: SweepServer, store: Store) -> None:
    arguments = ("serve", "hostile", "--root", store.root, "--port", server.server_port)
    assert_one_line(scaling(*arguments), "cannot be had")


def test_a_sweep_must_be_named_where_there_are_several(store: Store) -> None:
    store.write_sweep("second", "", [])
    for command in ("serve", "watch"):
        result = scaling(command, "--root", store.root)
        assert_one_line(result, "name a SWEEP; known: hostile, second")
    with pytest.raises(StoreError, match="cannot name a sweep"):
        store.sweep_folder("../hostile")
