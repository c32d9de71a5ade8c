"""How a result shows itself: a summary as text, and one fragment of HTML for notebooks.

Every value is escaped: names of runs, groups and columns come from the user's files.
"""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Sequence

from analysis.values import Flag

# Characters of the one line that stands for a result at a prompt.
_LONGEST = 200


class Shown:
    """Gives a result with `summary` its text and HTML.

    `print(result)` is its summary; a bare `result` at a prompt is one line.
    """

    __slots__ = ()

    def summary(self) -> str:
        raise NotImplementedError

    def __str__(self) -> str:
        return self.summary()

    def __repr__(self) -> str:
        first = textwrap.shorten(self.summary().partition("\n")[0], _LONGEST, placeholder=" ...")
        return f"<{type(self).__name__}: {first}>"

    def _repr_html_(self) -> str:
        return as_html(self.summary().split("\n"))


def as_html(
    lines: Sequence[str],
    *,
    heads: Sequence[str] = (),
    rows: Iterable[Sequence[str]] = (),
    flags: Iterable[Flag] = (),
) -> str:
    """A fragment: the first line in bold, the others under it, a table, and the flags."""
    first, *others = (html.escape(line) for line in lines)
    text = "<br>".join([f"<b>{first}</b>", *others])
    parts = [f"<div><p>{text}</p>"]
    if heads:
        parts.append(f"<table><thead>{_row(heads, 'th')}</thead><tbody>")
        parts += [_row(row, "td") for row in rows]
        parts.append("</tbody></table>")
    listed = [f"<li><b>{html.escape(f.severity)}</b> {html.escape(f.message)}</li>" for f in flags]
    if listed:
        parts.append(f"<ul>{''.join(listed)}</ul>")
    return "".join([*parts, "</div>"])


def flag_lines(flags: Iterable[Flag]) -> list[str]:
    """One line per flag."""
    return [f"{flag.severity}: {flag.message}" for flag in flags]


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>"
