"""A headless Chromium for tests of pages, and questions that are asked of a page."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

SIZES = (360, 768, 1600)
_HEIGHT = 900
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
          "--hide-scrollbars", "--no-first-run", "--disable-background-networking")  # fmt: skip

# Text whose contrast with what lies behind it is under AA (WCAG 2.2, 1.4.3), as a list.
FAINT_TEXT = """
const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
const linear = (s) => (s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4);
const light = (c) => linear(c / 255);
const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
const behind = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const parent = walker.currentNode.parentElement;
  const words = walker.currentNode.textContent.trim();
  if (!words || !parent.getClientRects().length) continue;
  if (parent.closest('script, style, title, desc, :disabled')) continue;
  const style = getComputedStyle(parent);
  const front = parse(parent.closest('svg') ? style.fill : style.color);
  const [a, b] = [luminance(front), luminance(behind(parent))].sort((x, y) => y - x);
  const ratio = (a + 0.05) / (b + 0.05);
  const pixels = parseFloat(style.fontSize);
  const isLarge = pixels >= 24 || (pixels >= 18.66 && style.fontWeight >= 700);
  if (!(ratio >= (isLarge ? 3 : 4.5))) found.push([words.slice(0, 40), ratio, style.color]);
}
return found;
"""

# Controls without a name that a screen reader could say.
UNNAMED = """
const isSaid = (node) => node.getAttribute('aria-label') || node.textContent.trim();
const all = document.querySelectorAll('button, input, select, a[href], [tabindex="0"]');
return [...all].filter((node) => ![node, ...(node.labels || [])].some(isSaid))
  .map((node) => node.outerHTML.slice(0, 80));
"""


class Browser:
    """One window; `errors` and `requests` tell what happened since they were last asked."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str, *, width: int = 1280, dark: bool = False) -> None:
        self.size(width)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.errors(), self.requests()
        self.driver.get(address)

    def size(self, width: int) -> None:
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=_HEIGHT,
                     deviceScaleFactor=1, mobile=False)  # fmt: skip

    def command(self, name: str, **values: Any) -> Any:
        return self.driver.execute_cdp_cmd(name, values)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def errors(self) -> list[str]:
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that the page asked for, or tried to."""
        events = [json.loads(entry["message"])["message"]
                  for entry in self.driver.get_log("performance")]  # fmt: skip
        sent = [e["params"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [str(params["request"]["url"]) for params in sent]

    def scrolls_sideways(self) -> bool:
        return bool(self.run("return document.documentElement.scrollWidth > innerWidth"))

    def text(self, css: str) -> str:
        return str(self.run("return document.querySelector(arguments[0]).textContent", css))

    def pictures(self, part: str) -> list[str]:
        """Every chart of a part of the page, as drawn."""
        return list(self.run(
            "return [...document.querySelectorAll(`#${arguments[0]} canvas`)].map((c) => "
            "c.toDataURL())", part,
        ))  # fmt: skip

    def choose(self, element_id: str, value: object) -> None:
        """Sets a control as a user does, and waits until the page has drawn."""
        self.driver.execute_async_script(
            "const [id, value, done] = arguments; const control = document.getElementById(id);"
            "if (control.type === 'checkbox') control.checked = value; else control.value = value;"
            "control.dispatchEvent(new Event('input', {bubbles: true}));"
            "setTimeout(() => requestAnimationFrame(() => setTimeout(done, 50)), 300);",
            element_id, value,
        )  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skips the test with the reason where there is none."""
    selenium = pytest.importorskip("selenium", reason="selenium is missing: make test-browser")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    assert selenium
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    for name, path in paths.items():
        if path is None:
            pytest.skip(f"{name} is not installed: make test-browser")
    options = webdriver.ChromeOptions()
    options.binary_location = str(paths["chromium"])
    for flag in _FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(paths["chromedriver"])))
    driver.set_script_timeout(60)
    try:
        yield Browser(driver)
    finally:
        driver.quit()
