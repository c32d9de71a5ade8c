"""The report in a real browser: controls, keyboard, contrast, widths, print, and no request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.report.live_page import waiting_page
from analysis.report.page import report_html
from analysis.study import make_study
from analysis.table import load_table
from scaling.serving.report_maker import ReportMaker
from scaling.serving.server import SweepServer
from scaling.store import Store
from scaling.sweep_status import StatusReader
from tests.browser import FAINT_TEXT, SIZES, UNNAMED, Browser, chromium
from tests.factories import make_record, make_spec
from tests.planted_sweep import write_sweep
from tests.test_cli import scaling

pytestmark = pytest.mark.slow

HOSTILE = "</script><img src=x onerror=alert(1)>'\"" + "w" * 10_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs"), label=HOSTILE)


@pytest.fixture(scope="module")
def page(sweep: Path) -> str:
    study = make_study(sweep, load_table(sweep), n_boot=100, with_checks=False)
    path = sweep.parent / "report.html"
    path.write_text(report_html(study), encoding="utf-8")
    return path.as_uri()


def test_it_opens_without_an_error_or_a_request(browser: Browser, page: str) -> None:
    browser.open(page)
    assert browser.pictures("runs-panels")
    assert browser.errors() == []
    assert [url for url in browser.requests() if not url.startswith("data:")] == [page]
    # The log would have told: a page may try, and the policy stops it.
    browser.run("new Image().src = 'http://127.0.0.1:9/x'; fetch('http://127.0.0.1:9/y')")
    assert any("Content Security Policy" in error for error in browser.errors())


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_has_aa_contrast(browser: Browser, page: str, dark: bool) -> None:
    browser.open(page, dark=dark)
    assert browser.run(FAINT_TEXT) == []
    browser.run("document.querySelector('.lead').style.cssText = 'color: #888; background: #777'")
    assert len(browser.run(FAINT_TEXT)) >= 1


@pytest.mark.parametrize("width", SIZES)
def test_it_never_scrolls_sideways(browser: Browser, page: str, width: int) -> None:
    browser.open(page, width=width)
    assert not browser.scrolls_sideways()
    for index, picture in enumerate(browser.pictures("runs-panels")):
        assert len(picture) > 2000, index


def test_every_control_of_the_runs_draws_another_picture(browser: Browser, page: str) -> None:
    browser.open(page)
    for control, value in (
        ("runs-x", "tokens"), ("runs-x", "params"), ("count-n", "params_non_embedding"),
        ("runs-x", "flops"), ("count-c", "train_flops_6nd"), ("runs-colour", "arm"),
        ("runs-curves", True), ("arm-1", False), ("arm-1", True), ("runs-y", "bits"),
    ):  # fmt: skip
        before = browser.pictures("runs-panels")
        browser.choose(control, value)
        assert browser.pictures("runs-panels") != before, control
    assert len(browser.pictures("runs-panels")) == 1  # one axis only for the shared yardstick
    assert "upper bound" in browser.text("#runs-note")
    assert browser.errors() == []


def test_the_slider_goes_from_budget_to_budget(browser: Browser, page: str) -> None:
    browser.open(page)
    seen = set()
    for position in ("0", "1", "2"):
        browser.choose("profile-budget", position)
        seen.add((browser.text("#profile-budget-value"), *browser.pictures("profile-panels")))
        assert f"({int(position) + 1} of 3)" in browser.text("#profile-budget-value")
    assert len(seen) == 3
    said = browser.text("#profile-say")
    assert "N* = " in said
    assert "Over all budgets a = " in said
    browser.choose("profile-method", "akima")
    assert browser.text("#profile-say") != said


def test_keys_and_pointer_show_run_size_tokens_and_loss(browser: Browser, page: str) -> None:
    browser.open(page)
    press = ("const plot = document.querySelector('#runs-panels .plot'); plot.focus(); "
             "plot.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0]}));")  # fmt: skip
    told = []
    for key in ("ArrowRight", "ArrowRight", "End", "Home"):
        browser.run(press, key)
        told.append(browser.text("#runs-panels .readout"))
    assert told[0] == told[3] != told[1] != told[2]
    for words in ("run encoder-", "size 25k", "N = ", "D = ", "C = ", "loss ", "bits per byte"):
        assert words in told[0]
    shown = browser.run(
        """
        const panels = document.getElementById('runs-panels');
        const [over, tip] = ['.u-over', '.tip'].map((css) => panels.querySelector(css));
        document.activeElement.blur();
        const box = over.getBoundingClientRect();
        for (let x = 0; x < box.width; x += 10) {
          for (let y = 0; y < box.height; y += 10) {
            const at = {clientX: box.left + x, clientY: box.top + y};
            over.dispatchEvent(new PointerEvent('pointermove', at));
            if (!tip.hidden) return tip.textContent;
          }
        }
        """
    )
    assert "run encoder-" in shown
    assert "loss " in shown


def test_zoom_by_buttons_and_keys(browser: Browser, page: str) -> None:
    browser.open(page)
    click = (
        "document.querySelectorAll('#runs-panels .panel:first-child button')[arguments[0]].click()"
    )
    whole = browser.pictures("runs-panels")[0]
    browser.run(click, 0)
    assert browser.pictures("runs-panels")[0] != whole
    browser.run(click, 2)
    assert browser.pictures("runs-panels")[0] == whole
    press = ("document.querySelector('#runs-panels .plot').dispatchEvent("
             "new KeyboardEvent('keydown', {key: arguments[0]}))")  # fmt: skip
    for key in ("+", "0"):
        before = browser.pictures("runs-panels")[0]
        browser.run(press, key)
        assert browser.pictures("runs-panels")[0] != before
    assert browser.pictures("runs-panels")[0] == whole


def test_all_can_be_reached_by_keyboard_and_has_a_name(browser: Browser, page: str) -> None:
    from selenium.webdriver.common.keys import Keys

    browser.open(page)
    assert browser.run(UNNAMED) == []
    names = []
    body = browser.driver.switch_to.active_element
    for _ in range(45):
        body.send_keys(Keys.TAB)
        body = browser.driver.switch_to.active_element
        outline = browser.run(
            "const s = getComputedStyle(document.activeElement); return [s.outlineStyle, "
            "parseFloat(s.outlineWidth)]"
        )
        assert outline[0] != "none"
        assert outline[1] >= 1
        names.append(
            browser.run("return document.activeElement.id || document.activeElement.className")
        )
    for wanted in ("arm-0", "count-n", "runs-x", "plot", "profile-budget", "budget"):
        assert wanted in names


@pytest.mark.parametrize(
    ("n", "c"),
    [("params_total", "train_flops"), ("params_non_embedding", "train_flops_6nd")],
)
def test_the_calculator_says_what_predict_says(
    browser: Browser, page: str, sweep: Path, n: str, c: str
) -> None:
    browser.open(page)
    for control, value in (("count-n", n), ("count-c", c), ("budget", "3·10¹⁷")):
        browser.choose(control, value)
    rows = [json.loads(text) for text in browser.run(
        "return [...document.querySelectorAll('#budget-rows tr')].map((r) => r.dataset.exact)"
    )]  # fmt: skip
    options = ("--flops", "3e17", "--n", n, "--c", c, "--n-boot", 100, "--json")
    predicted = json.loads(scaling("predict", sweep, *options).stdout)["predictions"]
    assert [row["arm"] for row in rows] == [row["group"] for row in predicted]
    for row, known in zip(rows, predicted, strict=True):
        for ours, theirs in (("n", "params_opt"), ("tokens", "tokens_opt"), ("loss", "loss")):
            for end in ("value", "low", "high"):
                assert row[ours][end] == pytest.approx(known[theirs][end], rel=1e-5), (ours, end)
        assert row["decades"] == pytest.approx(known["decades_beyond_the_runs"], abs=1e-3)
    assert "decades beyond the runs" in browser.text("#budget-rows")
    browser.choose("budget", "-4<b>")
    assert "is no number of FLOPs" in browser.text("#budget-error")
    assert browser.run("return document.getElementById('budget-result').hidden")
    assert browser.errors() == []


def test_hostile_text_is_shown_as_text(browser: Browser, page: str) -> None:
    browser.open(page, width=360)
    assert browser.run("return document.body.textContent.includes(arguments[0])", HOSTILE)
    assert browser.run("return document.querySelectorAll('img').length") == 0
    assert not browser.scrolls_sideways()


def test_print_shows_the_static_figures(browser: Browser, page: str) -> None:
    browser.open(page)
    browser.command("Emulation.setEmulatedMedia", media="print")
    shown = "return getComputedStyle(document.querySelector(arguments[0])).display !== 'none'"
    assert not browser.run(shown, "#explore")
    assert browser.run(shown, "#figures svg")
    assert (
        browser.run("return getComputedStyle(document.documentElement).getPropertyValue('--page')")
        == "#fff"
    )


def test_without_scripts_all_results_stand_there(browser: Browser, page: str) -> None:
    browser.command("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        shown = browser.driver.find_elements("css selector", "#figures svg")
        assert shown
        assert all(drawing.is_displayed() for drawing in shown)
        assert not browser.driver.find_element("css selector", "#explore").is_displayed()
        assert browser.driver.find_element("css selector", "noscript p").is_displayed()
    finally:
        browser.command("Emulation.setScriptExecutionDisabled", value=False)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[SweepServer, Store]]:
    """A store with a pending cell, served; the report is put in place by the test."""
    monkeypatch.setattr(ReportMaker, "look", lambda self, status: None)
    store = Store(tmp_path / "runs")
    spec = make_spec()
    store.add(spec)
    store.write_sweep("live", "", [{
        "run_id": spec.run_id, "labels": {"size": HOSTILE}, "depends_on": None, "excluded": None,
        "spec": spec.to_dict(),
    }])  # fmt: skip
    (tmp_path / "report.html").write_text(waiting_page(Path("live"), HOSTILE), encoding="utf-8")
    reader = StatusReader(store, "live")
    report = ReportMaker(store.sweep_folder("live"), tmp_path)
    server = SweepServer(store, "live", reader, report, port=0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server, store
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_served_page_follows_the_sweep(
    browser: Browser, served: tuple[SweepServer, Store], page: str, tmp_path: Path
) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    server, store = served
    spec = make_spec()
    wait = WebDriverWait(browser.driver, 30)
    browser.open(server.url, width=360)
    wait.until(lambda _: browser.text("#live-headline") == "1 pending")
    claim = store.claim(spec.run_id)
    assert claim is not None
    (store.folder(spec.run_id) / "log.txt").write_text("<script>alert(2)</script>" + "x" * 900)
    store.publish(claim, make_record(spec, "failed"))
    wait.until(lambda _: browser.text("#live-headline") == "1 failed")
    assert "<script>alert(2)</script>" in browser.text("#live-body")
    assert not browser.scrolls_sideways()
    # A new report takes the place of the old one, with its charts, and the choices stay.
    made = Path(page.removeprefix("file://")).read_bytes()
    (tmp_path / "report.html").write_bytes(made)
    wait.until(lambda _: browser.pictures("runs-panels"))
    browser.choose("runs-x", "tokens")
    (tmp_path / "report.html").write_bytes(made.replace(b"</h1>", b" again</h1>", 1))
    wait.until(lambda _: browser.text("h1").endswith(" again"))
    assert browser.run("return document.getElementById('runs-x').value") == "tokens"
    assert browser.run(FAINT_TEXT) == []
    assert browser.errors() == []
    assert all(url.startswith((server.url, "data:")) for url in browser.requests())
