"""The commands that read tables: fit, compare, plot, report, predict, answer.

Each imports what it needs when it runs, so that `--help` answers at once.
"""

from __future__ import annotations

from analysis.commands.answer import answer
from analysis.commands.compare import compare
from analysis.commands.fit import fit
from analysis.commands.plot import plot
from analysis.commands.predict import predict
from analysis.commands.report import report

__all__ = ["answer", "compare", "fit", "plot", "predict", "report"]
