"""Turns a figure's SVG into a part of a page: own ids, page colours, words for screen readers."""

from __future__ import annotations

import re
from html import escape

from analysis.style import CSS_VARIABLES


def inline_svg(svg: str, *, name: str, title: str, description: str) -> str:
    """The drawing as an HTML element.

    Its colours become CSS variables (light, dark and print each set them), its ids get the
    prefix `name` so that several drawings can stand in one page, and what would name another
    host (the document type, XML name spaces) is left out: HTML needs none of it.

    Args:
        svg: a complete SVG document by `analysis.plots.canvas.svg_text`.
        name: unique within the page; letters, digits and `-`.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", body)
    # A style element inside one drawing would restyle the whole page.
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href=", "href=")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    for colour, variable in CSS_VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    head += f' role="img" aria-labelledby="{name}-t {name}-d"'
    words = f'<title id="{name}-t">{escape(title)}</title>'
    words += f'<desc id="{name}-d">{escape(description)}</desc>'
    return f"{head}>{words}{rest}".strip()
