"""A text as a sentence of the page: a capital, a full stop, and numbers as they stand elsewhere."""

from __future__ import annotations

import re

from analysis.style import flops


def sentence(text: str) -> str:
    """The text as a sentence; names of arms, columns and quantities stay as they are."""
    text = re.sub(r"\b\d(?:\.\d+)?e[+-]?\d+\b", lambda found: flops(float(found[0])), text)
    text = re.sub(r"(?<=[\s\[(])-(?=[\d\s])", "−", text.rstrip("."))
    first = text.split(maxsplit=1)[0]
    is_word = first.isalpha() and first.islower() and not text.startswith("a ")
    is_word = is_word or text.startswith("a sound")
    return f"{text[0].upper() if is_word else text[0]}{text[1:]}."
