"""A sweep file -> cells. The file is a W&B grid sweep: `wandb sweep` takes it as it is.

A cell is a run and its place in the grid. Cells that differ in their horizon alone hang on one
trunk and form a chain: each starts from the trunk checkpoint of the next shorter one.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from scaling.errors import SweepError
from scaling.parameters import HORIZONS, SHAPE, check_names
from scaling.price import Price, price_of
from scaling.resolve import Resolved, TextLoader, resolve
from scaling.sizes import SIZES
from scaling.spec import RunSpec
from scaling.store import check_sweep_name
from scaling.sweep_evaluations import EvaluationCell, evaluation_cells, split_evaluations
from scaling.sweep_file import read_config
from scaling.words import describe


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """A run of the sweep.

    Attributes:
        labels: what tells it from the others, for people.
        depends_on: run id of the next shorter horizon on its trunk.
    """

    labels: dict[str, Any]
    spec: RunSpec
    depends_on: str | None = None

    @property
    def run_id(self) -> str:
        return self.spec.run_id

    def to_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "labels": self.labels,
            "depends_on": self.depends_on,
            "excluded": None,
            "spec": self.spec.to_dict(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Excluded:
    """A point of the grid that the sweep leaves out, and why; no spec where none can be made."""

    labels: dict[str, Any]
    reason: str
    spec: RunSpec | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.spec and self.spec.run_id,
            "labels": self.labels,
            "depends_on": None,
            "excluded": self.reason,
            "spec": self.spec and self.spec.to_dict(),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """A sweep file, resolved.

    Attributes:
        cells: those to train, chain by chain.
        evaluations: what is measured on them once they are trained.
        notes: what the reader should know, such as points of the grid that are one run.
        source: YAML of the sweep as it is run, overrides included.
        price: of an hour of a device, where the file gives one.
    """

    name: str
    cells: tuple[Cell, ...]
    excluded: tuple[Excluded, ...]
    notes: tuple[str, ...]
    source: str
    project: str | None = None
    price: Price | None = None
    evaluations: tuple[EvaluationCell, ...] = ()

    @property
    def all_cells(self) -> tuple[Cell | EvaluationCell, ...]:
        """Those to train and those to measure."""
        return (*self.cells, *self.evaluations)

    def to_dicts(self) -> list[dict[str, Any]]:
        return [cell.to_dict() for cell in self.all_cells] + [
            point.to_dict() for point in self.excluded
        ]


def expand(
    sweep_file: Path,
    load: TextLoader,
    *,
    overrides: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Sweep:
    """Reads, checks and resolves a sweep file.

    Args:
        load: see `scaling.resolve.TextLoader`; it is called once per text.
        overrides: parameter -> value, which replaces what the file says; a list is an axis of
            the grid, None takes the parameter out.
        name: replaces the file's own name.
    Raises:
        SweepError, SpecError, StoreError: a rule is broken, or no cell is left.
        OSError: the file cannot be read.
    """
    config, source = read_config(sweep_file)
    if overrides:
        config["parameters"] = _overridden(config["parameters"], overrides)
        source = yaml.safe_dump(config, sort_keys=False)
    name = check_sweep_name(name or config.get("name") or sweep_file.stem)
    price = price_of(config["parameters"])
    parameters, wanted = split_evaluations(config["parameters"])
    grid = _Grid()
    grid.fill(parameters, _once_per_text(load))
    if not grid.cells and not grid.excluded:
        raise SweepError(
            f"sweep {name!r} has no cells: a parameter has no values; give each at least one"
        )
    if not grid.cells:
        first = grid.excluded[0]
        raise SweepError(
            f"sweep {name!r} has no cells: all {len(grid.excluded)} are excluded, the first "
            f"({describe(first.labels)}) as {first.reason}; widen its limits or its horizons"
        )
    cells = tuple(_chained(grid.cells.values()))
    return Sweep(
        name=name,
        cells=cells,
        evaluations=tuple(evaluation_cells(wanted, cells)),
        excluded=tuple(grid.excluded),
        notes=tuple(grid.notes),
        source=source,
        project=config.get("project"),
        price=price,
    )


class _Grid:
    """The points of a grid, sorted into runs and exclusions."""

    def __init__(self) -> None:
        self.cells: dict[str, Cell] = {}
        self.excluded: list[Excluded] = []
        self.notes: list[str] = []

    def fill(self, parameters: Mapping[str, Any], load: TextLoader) -> None:
        check_names(parameters)
        axes = {
            name: entry.get("values", [entry.get("value")]) for name, entry in parameters.items()
        }
        varied = [name for name, values in axes.items() if len(values) > 1]
        for point in itertools.product(*axes.values()):
            values = dict(zip(axes, point, strict=True))
            self._add(make_labels(values, varied), resolve(values, load))

    def _add(self, labels: dict[str, Any], resolved: Resolved) -> None:
        if resolved.excluded is not None:
            self.excluded.append(
                Excluded(labels=labels, reason=resolved.excluded, spec=resolved.spec)
            )
            return
        assert resolved.spec is not None, "only an excluded point may lack a spec"
        cell = Cell(labels=labels, spec=resolved.spec)
        if (first := self.cells.setdefault(cell.run_id, cell)) is not cell:
            self.notes.append(
                f"{describe(labels)} is the same run as {describe(first.labels)}: trained once"
            )


def _overridden(parameters: dict[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: entry for name, entry in parameters.items() if name not in overrides}
    return kept | {
        name: {"values" if isinstance(value, list) else "value": value}
        for name, value in overrides.items()
        if value is not None
    }


def make_labels(values: Mapping[str, Any], varied: Iterable[str] = ()) -> dict[str, Any]:
    """What tells a point of a grid from the others: model, size, horizon, seed, what varies."""
    labels = {name: values[name] for name in ("arch", "arm") if name in values}
    labels["size"] = values.get("size") or _size_name(values)
    labels |= {name: values[name] for name in HORIZONS if name in values}
    labels["seed"] = values.get("seed", 0)
    return labels | {name: values[name] for name in varied if name not in SHAPE}


def _size_name(values: Mapping[str, Any]) -> str:
    """The rung with this shape, else layers x width."""
    shape = {name: values[name] for name in SHAPE if name in values}
    for name, size in SIZES.items():
        if all(getattr(size, key) == value for key, value in shape.items()):
            return name
    return "x".join(str(value) for value in shape.values())


def _chained(cells: Iterable[Cell]) -> list[Cell]:
    """Cells with `depends_on`, in the order of their chains."""
    by_trunk: dict[str, list[Cell]] = {}
    for cell in cells:
        by_trunk.setdefault(cell.spec.trunk_id, []).append(cell)
    chained = []
    for chain in by_trunk.values():
        chain.sort(key=lambda cell: (cell.spec.fork_tokens, cell.spec.train_tokens))
        previous = None
        for cell in chain:
            chained.append(dataclasses.replace(cell, depends_on=previous))
            previous = cell.run_id
    return chained


def _once_per_text(load: TextLoader) -> TextLoader:
    texts: dict[tuple[str, str, int | None], Any] = {}

    def loaded(corpus: str, tokenizer: str, vocab_size: int | None) -> Any:
        key = (corpus, tokenizer, vocab_size)
        if key not in texts:
            texts[key] = load(*key)
        return texts[key]

    return loaded
