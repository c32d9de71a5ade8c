"""Scaling laws, one file each. A new law is a file with a `LAW` and a line in `LAWS`."""

from __future__ import annotations

from analysis.laws import broken_power, chinchilla, compute, data_constrained, kaplan, tied
from analysis.laws.law import Law

LAWS: dict[str, Law] = {
    "chinchilla": chinchilla.LAW,
    "tied": tied.LAW,
    "kaplan": kaplan.LAW,
    "compute": compute.LAW,
    "data_constrained": data_constrained.LAW,
    "broken_power": broken_power.LAW,
}

__all__ = ["LAWS", "Law"]
