"""Text from trained models: one file per sampler, by name in `SAMPLERS`.

A text to generate is a window of ids with [MASK] at each place to fill: after a prompt, between
two given parts, or anywhere. To add a sampler, write a file that yields such windows with ever
fewer blanks, and name it here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from scaling.generation.ancestral import ANCESTRAL, is_read_after_blank
from scaling.generation.any_order import ANY_ORDER
from scaling.generation.cost import Cost
from scaling.generation.gibbs import GIBBS
from scaling.generation.importance import IMPORTANCE
from scaling.generation.left_to_right import LEFT_TO_RIGHT
from scaling.generation.mask_predict import MASK_PREDICT
from scaling.generation.metropolis_hastings import METROPOLIS_HASTINGS
from scaling.generation.noise import Noise
from scaling.generation.reader import Reader, blanks
from scaling.generation.sampler import (
    GenerationError,
    Sampler,
    Settings,
    Task,
    Trace,
    check_settings,
)
from scaling.models import LanguageModel
from scaling.objectives import OBJECTIVES
from scaling.spec import RunSpec

SAMPLERS: dict[str, Sampler] = {
    "ancestral": ANCESTRAL,
    "importance": IMPORTANCE,
    "left_to_right": LEFT_TO_RIGHT,
    "any_order": ANY_ORDER,
    "gibbs": GIBBS,
    "metropolis_hastings": METROPOLIS_HASTINGS,
    "mask_predict": MASK_PREDICT,
}

__all__ = [
    "SAMPLERS", "Cost", "GenerationError", "Generated", "Settings", "Task", "Trace",
    "generate", "sampler_for", "start", "why_unfit",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Generated:
    """Finished texts [B, T], what the sampler did, and what it cost."""

    ids_BT: Tensor
    trace: Trace
    cost: Cost


def sampler_for(spec: RunSpec, ids_BT: Tensor) -> str:
    """The sampler that suits a model and the places of the blanks, where none is named."""
    if not OBJECTIVES[spec.objective].predicts_next:
        return "any_order"
    return "importance" if is_read_after_blank(ids_BT).any() else "ancestral"


def why_unfit(name: str, spec: RunSpec) -> str | None:
    """Why a sampler is not for a run; None where it is."""
    predicts_next = OBJECTIVES[spec.objective].predicts_next
    if SAMPLERS[name].predicts_next == predicts_next:
        return None
    fitting = [n for n, s in SAMPLERS.items() if s.predicts_next == predicts_next]
    return (
        f"sampler={name!r} does not fit objective={spec.objective!r}, which predicts "
        f"{'the next token' if predicts_next else 'hidden tokens'}; choose {', '.join(fitting)}"
    )


def start(
    model: LanguageModel,
    spec: RunSpec,
    ids_BT: Tensor,
    name: str,
    settings: Settings,
    *,
    seed: int = 0,
    first_text: int = 0,
) -> tuple[Task, Iterator[Tensor]]:
    """A task and the texts [B, T] after each of its steps, the finished ones last.

    Args:
        ids_BT: int64 on the CPU, [CLS] first, [MASK] at the places to fill.
        seed, first_text: determine the text; row b has the noise of text `first_text + b`.
    Raises:
        GenerationError: the sampler is unknown, of the other family, or cannot serve the blanks.
    """
    if name not in SAMPLERS:
        raise GenerationError(f"sampler={name!r} is unknown; known: {', '.join(SAMPLERS)}")
    sampler, reader = SAMPLERS[name], Reader(model, spec)
    if (reason := why_unfit(name, spec)) is not None:
        raise GenerationError(reason)
    if seed < 0:
        raise GenerationError(f"seed={seed} is negative; give 0 or more")
    check_settings(name, sampler, settings)
    sampler.check(ids_BT, settings)
    task = Task(reader=reader, settings=settings, noise=Noise(seed, len(ids_BT), first_text))
    return task, sampler.steps(task, ids_BT)


def generate(
    model: LanguageModel,
    spec: RunSpec,
    ids_BT: Tensor,
    name: str,
    settings: Settings,
    *,
    seed: int = 0,
    first_text: int = 0,
) -> Generated:
    """Fills all blanks; arguments and errors as `start`."""
    task, texts = start(model, spec, ids_BT, name, settings, seed=seed, first_text=first_text)
    *_, filled_BT = (ids_BT, *texts)
    assert not blanks(filled_BT).any(), f"{name} left blanks"
    return Generated(ids_BT=filled_BT, trace=task.trace, cost=task.reader.cost)
