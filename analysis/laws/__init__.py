"""Scaling laws, one file each. A new law is a file with a `LAW` and a line in `LAWS`."""

from __future__ import annotations

from analysis.laws import broken_power, chinchilla, compute, data_constrained, kaplan, tied
from analysis.laws.law import Law
from analysis.laws.without_floor import SUFFIX, without_floor

LAWS: dict[str, Law] = {
    "chinchilla": chinchilla.LAW,
    "tied": tied.LAW,
    "kaplan": kaplan.LAW,
    "compute": compute.LAW,
    "data_constrained": data_constrained.LAW,
    "broken_power": broken_power.LAW,
}

# The same with E fixed to 0, for losses over a known optimum; a fit names the one that it used.
FITTED: dict[str, Law] = LAWS | {
    law.name + SUFFIX: without_floor(law) for law in LAWS.values() if law.parameters[0].name == "E"
}
# The column of losses that have no floor.
EXCESS = "excess_nats"


def law_for(name: str, loss_column: str | None) -> Law:
    """The law of that name as it is fitted to a column of losses."""
    without = FITTED.get(name + SUFFIX) if loss_column == EXCESS else None
    return without or FITTED[name]


__all__ = ["EXCESS", "FITTED", "LAWS", "Law", "law_for"]
