"""When the loss of a run is read along the way, and when a reading says that the run is lost."""

from __future__ import annotations

import math

from scaling.record import CurvePoint
from scaling.spec import RunSpec

# Readings lie half an octave apart, at steps that do not depend on the horizon.
_FIRST_READING = 64
_READINGS_PER_OCTAVE = 2
# A loss above this multiple of log(vocabulary) after warm-up will not come back.
_DIVERGED_SHARE = 1.5


class Diverged(Exception):
    """The loss is not finite or beyond recovery; the message says at which step."""


def is_reading_step(step: int) -> bool:
    """Whether the loss is read after `step` steps; a function of the step alone."""
    if step < _FIRST_READING:
        return False
    octaves = _READINGS_PER_OCTAVE * math.log2(step / _FIRST_READING)
    return step == round(_FIRST_READING * 2 ** (round(octaves) / _READINGS_PER_OCTAVE))


def curve_points(
    losses: dict[str, dict[str, float]], *, tokens: int, train_flops: float, learning_rate: float
) -> list[CurvePoint]:
    """One reading as points of the curve.

    Args:
        losses: split -> term -> nats per target.
    """
    return [
        CurvePoint(
            tokens=tokens,
            train_flops=train_flops,
            split=split,  # type: ignore[arg-type]
            term=term,
            nats_per_target=nats,
            learning_rate=learning_rate,
        )
        for split, terms in losses.items()
        for term, nats in terms.items()
    ]


def check_converging(
    spec: RunSpec, step: int, *, train_nats: float, validation: dict[str, float]
) -> None:
    """Raises Diverged where a reading shows that nothing will come of the run.

    Args:
        train_nats: training loss of the main term since the last reading, per target.
    """
    if not all(map(math.isfinite, validation.values())):
        raise Diverged(f"the validation loss is not finite at step {step}")
    bound = _DIVERGED_SHARE * math.log(spec.vocab_size)
    if step * spec.batch_tokens > spec.warmup_tokens and not train_nats < bound:
        raise Diverged(
            f"the training loss is {train_nats:.3g} nats per target at step {step}, over "
            f"{_DIVERGED_SHARE} log(vocab_size) = {bound:.3g}; lower peak_lr"
        )
