"""A run that is interrupted anywhere, in any way, ends as one that was left alone, bit for bit."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from scaling import watch
from scaling.checkpoint import CHECKPOINT
from scaling.models import LanguageModel
from scaling.objectives import OBJECTIVES, Batch
from scaling.objectives.objective import Terms
from scaling.text import Text
from scaling.train import run
from scaling.watch import Interrupted, Watch
from tests.factories import make_text, spec_for
from tests.test_train import ARMS, same_weights

N_STEPS = 90


class Killed(Exception):
    """Stands for a kill: no signal arrives, and no checkpoint is written."""


class Noisy:
    """An objective whose training draws from torch's generator, as dropout would."""

    def __init__(self, objective: Any) -> None:
        self._objective = objective

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objective, name)

    def nll(self, model: LanguageModel, batch: Batch) -> Terms:
        terms: Terms = self._objective.nll(model, batch)
        if not torch.is_grad_enabled():
            return terms
        return {
            term: loss._replace(nats=loss.nats * (0.5 + torch.rand(())))
            for term, loss in terms.items()
        }


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Text:
    return make_text(tmp_path_factory.mktemp("text"))


@pytest.mark.parametrize(("arch", "objective"), ARMS)
def test_interrupted_anywhere_in_any_way(
    arch: str, objective: str, text: Text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OBJECTIVES, objective, Noisy(OBJECTIVES[objective]))
    spec = spec_for(text, arch=arch, objective=objective, train_tokens=512 * N_STEPS)
    whole = run(spec, text=text, folder=tmp_path / "whole")

    draws = random.Random(f"{arch} {objective}")
    steps = sorted(draws.sample(range(1, N_STEPS + 1), 6))
    ways = draws.sample([signal.SIGTERM, signal.SIGUSR1, None] * 2, 6)
    stops = dict(zip(steps, ways, strict=True))
    before = Watch.after_step

    def interrupt(self: Watch, step: int) -> None:
        way = stops.pop(step, False)
        if way is None:
            # The one of the step before is there, and this step is lost.
            raise Killed
        if way:
            os.kill(os.getpid(), way)
        next_way = stops.get(step + 1, False)
        monkeypatch.setattr(watch, "CHECKPOINT_SECONDS", 0.0 if next_way is None else 60.0)
        before(self, step)

    monkeypatch.setattr(Watch, "after_step", interrupt)
    parts = tmp_path / "parts"
    while stops:
        with pytest.raises((Interrupted, Killed)):
            run(spec, text=text, folder=parts)
    resumed = run(spec, text=text, folder=parts)

    assert resumed.result() == whole.result()
    assert same_weights(parts, tmp_path / "whole")
    assert resumed.tokens_predicted == whole.tokens_predicted


def test_all_that_a_step_depends_on_is_in_the_checkpoint(text: Text, tmp_path: Path) -> None:
    """Stopped at the last step: the checkpoints of both runs hold the same, to the last bit."""
    spec = spec_for(text, arch="bert", objective="mlm+nsp")
    checkpoints = []
    for folder, stops in ((tmp_path / "one", [20]), (tmp_path / "three", [3, 11, 20])):
        for stop in stops:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Watch, "after_step", interrupting(stop, Watch.after_step))
                with pytest.raises(Interrupted):
                    run(spec, text=text, folder=folder)
        checkpoints.append(torch.load(folder / CHECKPOINT, weights_only=True))
    one, three = checkpoints
    for part in ("state_dict", "optimizer_states", "run", "loops", "global_step"):
        assert same(one[part], three[part]), part


def interrupting(stop: int, before: Any) -> Any:
    def after_step(self: Watch, step: int) -> None:
        if step == stop:
            os.kill(os.getpid(), signal.SIGTERM)
        before(self, step)

    return after_step


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)
