"""The best learning rate per size, against planted optima."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.learning_rate import learning_rate_curves, learning_rate_rules
from analysis.table import Table


def planted(optima: dict[float, float], rates: list[float]) -> Table:
    rows = [
        {
            "run_id": f"{n}-{rate}",
            "group": "decoder",
            "params_non_embedding": n,
            "params_total": 2 * n,
            "train_tokens": 1e6,
            "seed": 0,
            "peak_lr": rate,
            "loss_nats": 2.0 + 0.1 * np.log(rate / best) ** 2,
            "loss_kind": "clm",
        }
        for n, best in optima.items()
        for rate in rates
    ]
    return Table(
        frame=pd.DataFrame(rows),
        excluded=pd.DataFrame(),
        columns={"n": "params_total", "d": "train_tokens", "loss": "loss_nats"},
        labels={},
    )


RATES = [0.001 * 2**i for i in range(6)]


def test_the_planted_optima_and_their_rule_are_found() -> None:
    optima = {1e4: 0.012, 1e5: 0.012 * 10**-0.4, 1e6: 0.012 * 10**-0.8}
    curves = learning_rate_curves(planted(optima, RATES))
    assert [c.best_lr for c in curves] == pytest.approx(list(optima.values()), rel=1e-6)
    (rule,) = learning_rate_rules(curves)
    assert rule.exponent == pytest.approx(-0.4, abs=1e-6)
    assert rule.at_100k == pytest.approx(0.012 * 10**-0.4, rel=1e-6)


@pytest.mark.parametrize(("best", "reason"), [(1e-4, "smallest rate"), (1.0, "largest rate")])
def test_a_minimum_at_the_edge_is_refused(best: float, reason: str) -> None:
    (curve,) = learning_rate_curves(planted({1e5: best}, RATES))
    assert curve.best_lr is None
    assert curve.refused is not None
    assert reason in curve.refused
    assert learning_rate_rules([curve]) == []


def test_two_rates_are_no_curve() -> None:
    with pytest.raises(AnalysisError, match="at least three values of peak_lr"):
        learning_rate_curves(planted({1e5: 0.004}, RATES[:2]))


def test_a_table_without_rates_is_refused() -> None:
    table = planted({1e5: 0.004}, RATES)
    table = dataclasses.replace(table, frame=table.frame.drop(columns="peak_lr"))
    with pytest.raises(AnalysisError, match="no column peak_lr"):
        learning_rate_curves(table)
