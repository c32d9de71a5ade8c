"""What a sweep measures on its runs once they are trained: its parameter `evaluations`.

    evaluations:
      value:
        - {measurement: cls_geometry, weights: [trained, initial]}

stands beside `limits`. Each entry names a measurement and its options; a list is an axis of a
grid, so each combination is a cell for each run. What measures untrained models hangs on the
shortest run of each trunk alone, since all horizons start from the same weights. What has no
meaning for a run, such as a sampler of masked models for a causal one, is no cell of the grid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaling.errors import SweepError
from scaling.evaluation_cell import EvaluationSpec, is_evaluation
from scaling.spec import RunSpec

if TYPE_CHECKING:
    from scaling.sweep import Cell

PARAMETER = "evaluations"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationCell:
    """A measurement of a run of a sweep.

    Attributes:
        labels: those of the run, with the measurement and what tells it from its other ones.
        run: what is measured.
        added: by `scaling evaluate`, and not by the sweep file.
    """

    labels: dict[str, Any]
    spec: EvaluationSpec
    run: RunSpec
    added: bool = False

    @property
    def run_id(self) -> str:
        return self.spec.run_id

    @property
    def depends_on(self) -> str:
        return self.spec.of

    def to_dict(self) -> dict[str, Any]:
        values = {
            "run_id": self.run_id,
            "labels": self.labels,
            "depends_on": self.spec.of,
            "excluded": None,
            "spec": self.spec.to_dict(),
        }
        return values | ({"added": True} if self.added else {})


def split_evaluations(parameters: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The parameters of a sweep file without `evaluations`, and the entries of that one."""
    rest = {name: entry for name, entry in parameters.items() if name != PARAMETER}
    entry = parameters.get(PARAMETER, {"value": []})
    wanted = entry.get("values", entry.get("value"))
    if not isinstance(wanted, list):
        raise SweepError(
            f"evaluations={wanted!r} is not a list; write "
            "evaluations: {value: [{measurement: NAME, OPTION: VALUE}]}"
        )
    return rest, wanted


def listed_evaluations(
    listing: Iterable[Mapping[str, Any]], runs: Mapping[str, RunSpec]
) -> list[EvaluationCell]:
    """The evaluation cells that the listing of a sweep holds, of the runs that are given by id."""
    return [
        EvaluationCell(
            labels=cell["labels"],
            spec=EvaluationSpec.from_dict(cell["spec"]),
            run=runs[cell["spec"]["of"]],
            added=bool(cell.get("added")),
        )
        for cell in listing
        if is_evaluation(cell["spec"]) and cell["spec"]["of"] in runs
    ]


def evaluation_cells(
    wanted: Sequence[Any], cells: Iterable[Cell], *, added: bool = False
) -> list[EvaluationCell]:
    """The evaluation cells of a sweep, run by run.

    Args:
        wanted: entries as the sweep gives them.
        cells: the training runs.
        added: by `scaling evaluate`.
    Raises:
        SweepError: an entry breaks a rule, or fits none of the runs. OSError: data that it names
        cannot be read.
    """
    if not wanted:
        return []
    # Torch comes with the measurements.
    from scaling.evaluate.measurement import is_untrained, make_evaluation, why_unfit

    points = _points(wanted)
    # The data are read once, and not for each run.
    made = [
        (name, given, labels, make_evaluation(name, "0" * 16, given))
        for name, given, labels in points
    ]
    found: dict[str, EvaluationCell] = {}
    unfit: list[str] = []
    for cell in cells:
        for name, given, labels, spec in made:
            if (reason := why_unfit(name, given, cell.spec)) is not None:
                unfit.append(reason)
                continue
            if is_untrained(spec) and cell.depends_on is not None:
                continue
            own = EvaluationSpec.from_dict(spec.to_dict() | {"of": cell.run_id})
            shown = {**cell.labels, "measurement": name, **labels}
            found.setdefault(
                own.run_id,
                EvaluationCell(labels=shown, spec=own, run=cell.spec, added=added),
            )
    if unfit and not found:
        raise SweepError(f"no run can be measured so: {unfit[0]}")
    return list(found.values())


def _points(wanted: Sequence[Any]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """(measurement, options, those of them that vary) of each point of each entry."""
    from scaling.evaluate.measurement import load_measurement
    from scaling.evaluate.options import grid

    points: list[tuple[str, dict[str, Any]]] = []
    for entry in wanted:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("measurement"), str):
            raise SweepError(
                f"evaluations: {entry!r} names no measurement; write {{measurement: NAME}}"
            )
        given = {name: value for name, value in entry.items() if name != "measurement"}
        kind = load_measurement(entry["measurement"]).options
        points += [(entry["measurement"], point) for point in grid(kind, given)]
    labelled = []
    for name, given in points:
        beside = [other for own_name, other in points if own_name == name]
        varied = {
            key: given[key]
            for key in given
            if any(repr(other.get(key)) != repr(given[key]) for other in beside)
        }
        labelled.append((name, given, varied))
    return labelled
