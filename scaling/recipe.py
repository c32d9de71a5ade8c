"""Hyper-parameters as a function of size: the rules that every sweep uses unless it says more.

One rule per objective, each found by `sweeps/learning_rate.yaml` with the same budget for both
arms; docs/decisions/recipe.md shows the curves. The rules depend on the size alone and not on the
horizon, so that all horizons of one size can share a trunk.
"""

from __future__ import annotations

from dataclasses import dataclass

from scaling.spec import PositionBias


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What a run of one size uses; horizons and batches in tokens."""

    peak_lr: float
    batch_tokens: int
    warmup_tokens: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningRateRule:
    """peak_lr = at_100k x (params_non_embedding / 100,000) ^ exponent, never above `ceiling`."""

    at_100k: float
    exponent: float
    ceiling: float

    def peak_lr(self, params_non_embedding: int) -> float:
        rate = self.at_100k * (params_non_embedding / 100_000) ** self.exponent
        # Three digits say all that was measured, and keep the run's id readable.
        return float(f"{min(rate, self.ceiling):.3g}")


# The exponent is Porian et al.'s (arXiv:2406.19146, section 3); two sizes do not settle one. With
# it, each anchor passes within a factor of 1.25 of the parabola's minimum at both sizes. What is
# learned from pairs has no sweep of its own and takes the rule of MLM.
_EXPONENT = -1 / 3
LEARNING_RATES: dict[str, LearningRateRule] = {
    "clm": LearningRateRule(at_100k=0.0034, exponent=_EXPONENT, ceiling=0.008),
    "mlm": LearningRateRule(at_100k=0.0011, exponent=_EXPONENT, ceiling=0.004),
    "prefix": LearningRateRule(at_100k=0.0034, exponent=_EXPONENT, ceiling=0.008),
    "diffusion": LearningRateRule(at_100k=0.0011, exponent=_EXPONENT, ceiling=0.004),
    **dict.fromkeys(
        ("mlm-pairs", "mlm+nsp", "mlm+sop", "nsp"),
        LearningRateRule(at_100k=0.0011, exponent=_EXPONENT, ceiling=0.004),
    ),
}

# With a bias by distance there is no plateau at the start, and MLM learns at the rates that suit
# it: swept anew, at the same two sizes. The optimum of CLM did not move.
_WITH_BIAS = LEARNING_RATES | dict.fromkeys(
    ("mlm", "diffusion", "mlm-pairs", "mlm+nsp", "mlm+sop", "nsp"),
    LearningRateRule(at_100k=0.0024, exponent=_EXPONENT, ceiling=0.008),
)
_RULES: dict[PositionBias, dict[str, LearningRateRule]] = {
    "none": LEARNING_RATES,
    "relative": _WITH_BIAS,
}

BATCH_SEQUENCES = 8
WARMUP_STEPS = 100


def recipe(
    params_non_embedding: int, objective: str, seq_len: int, position_bias: PositionBias = "none"
) -> Recipe:
    """The recipe of one size.

    Raises:
        ValueError: no rule is known for the objective.
    """
    if objective not in LEARNING_RATES:
        known = ", ".join(LEARNING_RATES)
        raise ValueError(
            f"objective={objective!r} has no learning-rate rule; known: {known}; "
            "or give peak_lr in the sweep"
        )
    batch_tokens = BATCH_SEQUENCES * seq_len
    return Recipe(
        peak_lr=_RULES[position_bias][objective].peak_lr(params_non_embedding),
        batch_tokens=batch_tokens,
        warmup_tokens=WARMUP_STEPS * batch_tokens,
    )
