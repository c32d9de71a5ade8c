"""Study: everything that a report of one table holds, each part a result or the reason for none."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from analysis.agreement import agreement
from analysis.arm import LAW, Arm, attempt, make_arm
from analysis.compare_groups import compare
from analysis.comparison import Comparison
from analysis.errors import AnalysisError
from analysis.sensitivity import SensitivityResult, sensitivity_of_comparison
from analysis.shared_fits import SharedFits
from analysis.style import arm_marks
from analysis.table import Table, load_table

# Draws behind the intervals: the edges of a 95 % interval then move by about 3 % of its width
# with the seed.
N_BOOT = 1000
# Draws for second opinions (bits per byte, other conventions), where the sign is what counts.
_N_BOOT_CHECKS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A table and all that was made from it.

    Attributes:
        comparison: of the arms, each in its own yardstick; None for a single arm.
        bits: the same on bits per byte, the yardstick that arms share.
        sensitivity, bits_sensitivity: every verdict of the two under other choices.
        missing: name of a part of the whole study (`comparison`, `bits`) -> reason.
    """

    source: Path
    table: Table
    arms: dict[str, Arm]
    comparison: Comparison | None
    bits: Comparison | None
    sensitivity: SensitivityResult | None
    bits_sensitivity: SensitivityResult | None
    n_boot: int
    seed: int
    missing: dict[str, str] = field(default_factory=dict)


def make_study(
    source: Path,
    table: Table,
    *,
    reference: str | None = None,
    n_boot: int = N_BOOT,
    seed: int = 0,
    with_checks: bool = True,
) -> Study:
    """Fits and compares the arms of a table; what cannot be made carries its reason.

    Args:
        source: the folder or file that the table was read from; bits per byte are read there.
        reference: the arm that the others are compared with; None takes the first.
        with_checks: also hold-out, other conventions and next runs, which no figure shows.
    """
    fits, missing = SharedFits(), dict[str, str]()
    comparison = bits = checks = bits_checks = in_bits = None
    if len(table.groups) > 1:
        comparison = attempt(
            "comparison", missing,
            lambda: compare(table, reference=reference, n_boot=n_boot, seed=seed, fits=fits),
        )  # fmt: skip
        in_bits = attempt("bits", missing, lambda: _in_bits(source, table))
    if in_bits is not None:
        shared = in_bits
        bits = attempt("bits", missing, lambda: _compare_bits(shared, reference, seed, fits))
    if with_checks:
        checks = _sensitivity("sensitivity", missing, table, comparison, fits)
        bits_checks = _sensitivity("bits_sensitivity", missing, in_bits, bits, fits)
    return Study(
        source=source, table=table, comparison=comparison, bits=bits, sensitivity=checks,
        bits_sensitivity=bits_checks,
        arms=_make_arms(
            source, table, comparison, n_boot=n_boot, seed=seed, with_checks=with_checks
        ),
        n_boot=n_boot, seed=seed, missing=missing,
    )  # fmt: skip


def _sensitivity(
    part: str,
    missing: dict[str, str],
    table: Table | None,
    base: Comparison | None,
    fits: SharedFits,
) -> SensitivityResult | None:
    if table is None or base is None:
        return None
    return attempt(
        part, missing,
        lambda: sensitivity_of_comparison(table, base, n_boot=_N_BOOT_CHECKS, fits=fits),
    )  # fmt: skip


def _in_bits(source: Path, table: Table) -> Table:
    """The same runs by their bits per byte, under the same counts and in the same groups."""
    if table.columns["loss"] == "bits_per_byte":
        raise AnalysisError("the table's loss is bits per byte already")
    if "bits_per_byte" not in table.frame:
        raise AnalysisError(
            "the table has no bits per byte: levels of different losses are not compared"
        )
    shared = load_table(source, loss="bits_per_byte")
    counts = {role: table.columns[role] for role in ("n", "d", "c")
              if table.columns[role] in shared.frame}  # fmt: skip
    group_of = dict(zip(table.frame["run_id"], table.frame["group"], strict=True))
    groups = shared.frame["run_id"].map(group_of)
    # A run that is in no group of the table was left out there.
    shared = dataclasses.replace(shared, frame=shared.frame.assign(group=groups))
    return shared.exclude(groups.isna(), "not in the table").with_columns(**counts)


def _compare_bits(shared: Table, reference: str | None, seed: int, fits: SharedFits) -> Comparison:
    """Both arms on one yardstick: the only place where their levels may be compared."""
    return compare(
        shared, reference=reference, laws=(LAW,), n_boot=_N_BOOT_CHECKS, seed=seed, fits=fits
    )


def _make_arms(
    source: Path,
    table: Table,
    comparison: Comparison | None,
    *,
    n_boot: int,
    seed: int,
    with_checks: bool,
) -> dict[str, Arm]:
    """One arm per group, in order of first appearance; fits of the comparison are used again."""
    names = table.groups or ("all runs",)
    marks = arm_marks(names)
    arms = {}
    for name in names:
        own = table.select(group=name) if table.groups else table
        known = comparison.arms.get(name) if comparison else None
        found = known or agreement(own, n_boot=n_boot, seed=seed)
        arms[str(name)] = make_arm(
            source, str(name), own, marks[name], found, with_checks=with_checks
        )
    return arms
