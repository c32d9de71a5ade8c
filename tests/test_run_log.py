"""The rows of a run: its whole curve, and no reading twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaling.checkpoint import FORK
from scaling.train import run
from scaling.watch import Interrupted, Watch
from tests.factories import make_text, spec_for


class Rows:
    """A logger that keeps what it is sent."""

    def __init__(self) -> None:
        self.steps: list[int] = []
        self.rows: list[dict[str, float]] = []

    def log_row(self, row: dict[str, float], *, tokens: int, train_flops: float, step: int) -> None:
        assert tokens == step * 512
        self.steps.append(step)
        self.rows.append(row)


def test_a_branch_shows_its_trunk_and_a_resumed_one_does_not_repeat_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = make_text(tmp_path)
    short, long = (spec_for(text, train_tokens=512 * steps) for steps in (80, 150))
    trunk = Rows()
    run(short, text=text, folder=tmp_path / "short", logger=trunk)
    assert trunk.steps == [64, 80]

    before = Watch.after_step

    def stop_at_100(self: Watch, step: int) -> None:
        if step == 100:
            self._interrupt(0, None)
        before(self, step)

    fork, folder, rows = tmp_path / "short" / FORK, tmp_path / "long", Rows()
    with monkeypatch.context() as patch:
        patch.setattr(Watch, "after_step", stop_at_100)
        with pytest.raises(Interrupted):
            run(long, text=text, folder=folder, fork=fork, logger=rows)
    assert rows.steps == [64, 91]
    assert rows.rows[0].items() <= trunk.rows[0].items()
    run(long, text=text, folder=folder, fork=fork, logger=rows)
    assert rows.steps == [64, 91, 128, 150]
