"""A page from its template: styles, scripts and data inside, and a policy that forbids requests."""

from __future__ import annotations

import functools
import importlib.resources
from dataclasses import dataclass
from typing import Any

import jinja2

from analysis.report.page_script import (
    chart_script,
    chart_styles,
    content_security_policy,
    own_script,
    script_json,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Embedded:
    """What stands in the page's head and at its end; `data` is escaped JSON, empty for none."""

    policy: str
    styles: str
    scripts: tuple[str, ...]
    data: str


def render_page(template: str, page: object, *, data: dict[str, Any] | None = None) -> str:
    """The page as HTML. Texts are escaped by the template, data by `script_json`."""
    scripts = (chart_script(), own_script())
    embedded = Embedded(
        policy=content_security_policy(list(scripts)),
        styles=f"{chart_styles()}\n{_file('report.css')}",
        scripts=scripts,
        data=script_json(data) if data is not None else "",
    )
    html = _environment().get_template(template).render(page=page, embedded=embedded)
    return html.lstrip()


def _file(name: str) -> str:
    folder = importlib.resources.files("analysis") / "templates"
    return (folder / name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(_file), autoescape=True, undefined=jinja2.StrictUndefined
    )
