"""The one exception of `analysis`: what a reader of tables can do wrong."""

from __future__ import annotations


class AnalysisError(ValueError):
    """A table or an argument that cannot be analysed: the value, the rule and the remedy."""
