"""The measurements `cls_geometry` of a study as one frame, and a look at their last layers.

A row stands for one model, layer and pooling. Where a [CLS] has rows at all, it could see the
text: that of a causal model comes first and is a constant.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.questions.table import Evaluation

KEYS = ("arm", "arch", "size", "params_non_embedding", "train_tokens", "layer", "pooling")
_OF_RUN = KEYS[:5]


def long_frame(evaluations: tuple[Evaluation, ...]) -> pd.DataFrame:
    """A row per evaluation, layer and pooling; an untrained model has 0 training tokens."""
    rows = []
    for one in evaluations:
        run = one.columns()
        last = max(map(int, one.values["layers"]))
        for layer, by_pooling in one.values["layers"].items():
            for pooling, found in by_pooling.items():
                if found is None:
                    continue
                rows.append(
                    {name: run[name] for name in _OF_RUN}
                    | {"seed": run["seed"], "layer": int(layer), "is_last": int(layer) == last,
                       "pooling": pooling}
                    | dict(_flat(found))
                )  # fmt: skip
    frame = pd.DataFrame(rows)
    return frame.sort_values([*KEYS, "seed"], kind="stable", ignore_index=True)


def own_pooling(frame: pd.DataFrame) -> dict[str, str]:
    """Arm -> where its sentence vector is read: [CLS], or the last token where [CLS] sees none."""
    with_cls = set(frame.loc[frame["pooling"] == "cls", "arm"])
    return {arm: "cls" if arm in with_cls else "last" for arm in sorted(frame["arm"].unique())}


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """A number of the last layer of one arm, trained or as it was initialised."""

    column: str
    arm: str
    pooling: str = "cls"
    is_trained: bool = True


@dataclass(frozen=True, slots=True)
class View:
    """The last layer of the models of one study, by arm, size, horizon and pooling."""

    frame: pd.DataFrame

    @property
    def size(self) -> str:
        by_params = self.frame.sort_values("params_non_embedding", kind="stable")
        return str(by_params["size"].iloc[-1])

    @property
    def tokens(self) -> int:
        return int(self.frame["train_tokens"].max())

    @property
    def seed(self) -> int:
        return int(self.frame["seed"].min())

    def values(self, side: Side, size: str, tokens: int) -> dict[int, float]:
        """seed -> value; `tokens` is the horizon of trained sides."""
        rows = self.frame[
            self.frame["is_last"]
            & (self.frame["arm"] == side.arm)
            & (self.frame["size"] == size)
            & (self.frame["train_tokens"] == (tokens if side.is_trained else 0))
            & (self.frame["pooling"] == side.pooling)
        ]
        if side.column not in rows:
            return {}
        found = rows[["seed", side.column]].dropna()
        return dict(zip(found["seed"].astype(int), found[side.column].astype(float), strict=True))

    def conventions(self) -> Iterator[tuple[str, int]]:
        """Each size and horizon, those of the verdicts first."""
        first = (self.size, self.tokens)
        yield first
        order = self.frame.sort_values("params_non_embedding")
        horizons = sorted(int(t) for t in set(self.frame["train_tokens"]) if t)
        for pair in itertools.product(dict.fromkeys(map(str, order["size"])), horizons):
            if pair != first:
                yield pair


def _flat(found: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in found.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}{key}.")
        elif key != "histogram":
            yield f"{name}{key}", value
