"""The scripts and the data of the page, embedded so that no text of a user can break out.

A script runs only if its hash stands in the page's Content-Security-Policy, which forbids every
request; the data stands in a script element of a type that no browser runs.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
from typing import Any

# In the order in which they are joined; the last one starts the page.
PARTS = (
    "format", "law", "axes", "marks", "plot", "controls", "runs_view", "profiles_view",
    "calculator", "live", "main",
)  # fmt: skip
# What JSON may hold and HTML or old JavaScript would read as more than text.
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028",
            "\u2029": "\\u2029"}  # fmt: skip


def script_json(content: Any) -> str:
    """`content` as JSON that may stand inside a script element whatever its strings hold.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def own_script() -> str:
    """The page's own script: its parts in one function, so that they share no name with others."""
    folder = importlib.resources.files("analysis.report") / "script"
    parts = [(folder / f"{name}.js").read_text(encoding="utf-8") for name in PARTS]
    return "(() => {\n'use strict';\n" + "\n".join(parts) + "})();\n"


def chart_script() -> str:
    """The charting library with its licence in front; the banner with its address is left out."""
    folder = importlib.resources.files("analysis.report") / "vendor"
    licence = (folder / "uPlot.LICENSE").read_text(encoding="utf-8")
    code = (folder / "uPlot.iife.min.js").read_text(encoding="utf-8")
    _, _, code = code.partition("*/\n")
    return f"/* uPlot 1.6.32\n{licence.strip()}\n*/\n{code.strip()}\n"


def chart_styles() -> str:
    folder = importlib.resources.files("analysis.report") / "vendor"
    return (folder / "uPlot.min.css").read_text(encoding="utf-8").strip()


def content_security_policy(scripts: list[str]) -> str:
    """Allows these scripts and inline styles, and no request at all."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    return (
        f"default-src 'none'; connect-src 'none'; script-src {hashes}; "
        "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode()
