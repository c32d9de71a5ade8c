"""The WSD schedule: warm-up, a stable plateau, a cool-down.

Runs with different horizons share the plateau and differ in where they cool down, so that one
trunk serves them all. Sources: Hu et al. 2024, arXiv:2404.06395 (WSD); Haegele et al. 2024,
arXiv:2405.18392, section 3 (the shape 1 - sqrt of the cool-down).
"""

from __future__ import annotations

import math

from scaling.spec import RunSpec


def learning_rate(spec: RunSpec, step: int) -> float:
    """Learning rate of optimizer step `step`, counted from 0; a pure function."""
    if step >= spec.fork_step:
        cooldown_steps = spec.total_steps - spec.fork_step
        return spec.peak_lr * (1.0 - math.sqrt((step - spec.fork_step) / cooldown_steps))
    tokens_after_step = (step + 1) * spec.batch_tokens
    if tokens_after_step < spec.warmup_tokens:
        return spec.peak_lr * tokens_after_step / spec.warmup_tokens
    return spec.peak_lr
