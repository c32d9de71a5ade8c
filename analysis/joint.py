"""Joint fits of several groups with nested sharing: what differs between their laws.

One law for all, an own E per group, own amplitudes, everything own. Fits are least squares on log
loss, so that sums of squares may be compared: by F tests, by information criteria, and by a wild
bootstrap that flips the residuals of whole sizes, because runs of one size share what was not
tuned for it and an F test then finds differences that are not there (Cameron, Gelbach & Miller
2008, Review of Economics and Statistics 90, 414-427; six-point weights of Webb 2023, Canadian
Journal of Economics 56, 839-858).

Array axes: M problems, P parameters of the joint law, Q of the base law, n runs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.errors import AnalysisError
from analysis.inputs import size_ids
from analysis.joint_law import joint_law, split_parameters
from analysis.joint_result import SIGNIFICANT, JointResult, SharingFit, sharing_sentence
from analysis.laws import law_for
from analysis.laws.law import Floats, Law
from analysis.objective import Problem, objective_values
from analysis.polish import polish
from analysis.profile import reported
from analysis.table import Table
from analysis.varpro import find_starts

_WEBB = np.sqrt([0.5, 1.0, 1.5])
# delta of a robust start: outliers must not decide which valley is polished.
_START_DELTA = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Data:
    axes: dict[str, Floats]
    log_loss: Floats
    group: NDArray[np.intp]
    cluster: NDArray[np.intp]
    scales: dict[str, float]


def fit_jointly(
    table: Table, *, law: str = "chinchilla", n_boot: int = 199, seed: int = 0
) -> JointResult:
    """Fits every level of sharing to the groups of `table`.

    Args:
        table: two or more groups on one yardstick.
        law: a law in N and D.
        n_boot: draws of the wild bootstrap; 0 leaves it out.
    Raises:
        AnalysisError: one group, several yardsticks, or fewer runs than parameters.
    """
    base, groups = law_for(law, table.columns["loss"]), table.groups
    _check(table, base)
    data = _data(table, base, groups)
    pooled = _separate(base, data, None)
    by_group = np.stack([_separate(base, data, group) for group in range(len(groups))])
    fits = [
        (name, own, *_best(base, own, data, pooled, by_group)) for name, own in sharing_levels(base)
    ]
    full = fits[-1]
    levels = []
    for name, own, problem, theta, squares in fits:
        p_f = p_boot = None
        if name != full[0]:
            p_f = _f_test(squares, full[4], len(theta), len(full[3]), len(data.log_loss))
            p_boot = _wild_bootstrap(problem, theta, full[2], full[3], data, n_boot, seed)
        levels.append(_level(name, own, problem, theta, squares, p_f, p_boot, base, data, groups))
    chosen = next(x for x in levels if x.p_against_own is None or x.p_against_own >= SIGNIFICANT)
    return JointResult(
        law=law, groups=groups, levels=tuple(levels), chosen=chosen.name,
        best_aicc=min(levels, key=lambda x: x.aicc).name, sentence=sharing_sentence(chosen, levels),
        n_runs=len(data.log_loss), n_clusters=int(data.cluster.max()) + 1, n_boot=n_boot,
        yardstick=table.yardstick,
    )  # fmt: skip


def sharing_levels(base: Law) -> list[tuple[str, tuple[str, ...]]]:
    """Names of the levels and the parameters that each group has for itself."""
    names, amplitudes = base.names, base.names[: base.n_amplitudes]
    levels: list[tuple[str, tuple[str, ...]]] = [("one law", ())]
    if "E" in names:
        levels.append(("own E", ("E",)))
    if len(amplitudes) > 1:
        levels.append((f"own {', '.join(amplitudes)}", amplitudes))
    return [*levels, ("all own", names)]


def _check(table: Table, base: Law) -> None:
    if len(table.groups) < 2:
        raise AnalysisError(
            f"a joint fit needs two groups; the table has {len(table.groups)}: name their column"
        )
    if len(table.loss_kinds) > 1:
        raise AnalysisError(
            f"losses on {len(table.loss_kinds)} yardsticks ({', '.join(table.loss_kinds)}) have "
            "no joint law; use bits_per_byte"
        )
    counts = table.frame["group"].value_counts()
    need = len(base.parameters) + 1
    if counts.min() < need:
        raise AnalysisError(
            f"group {counts.idxmin()} has {counts.min()} runs; a joint {base.name} fit needs "
            f"{need} per group"
        )


def _data(table: Table, base: Law, groups: Sequence[str]) -> _Data:
    values = {role: table.values(role) for role in (*base.axes, "n", "loss")}
    scales = {role: float(np.exp(np.log(v).mean())) for role, v in values.items()}
    group = np.array([groups.index(name) for name in table.frame["group"]], dtype=np.intp)
    pairs = np.stack([group, size_ids(values["n"])])
    _, cluster = np.unique(pairs, axis=1, return_inverse=True)
    logs = {role: np.log(v / scales[role]) for role, v in values.items()}
    axes = {role: logs[role] for role in base.axes} | {"group": group.astype(float)}
    return _Data(axes=axes, log_loss=logs["loss"], group=group, cluster=cluster, scales=scales)


def _best(
    base: Law, own: tuple[str, ...], data: _Data, pooled: Floats, by_group: Floats
) -> tuple[Problem, Floats, float]:
    """The least-squares optimum [P] of one level, from the fits of all runs and of each group."""
    n_groups = len(by_group)
    alike = [pooled, by_group.mean(axis=0), *by_group]
    candidates = [by_group, *(np.repeat(theta[None], n_groups, axis=0) for theta in alike)]
    start = np.stack([_gather(base, own, candidate) for candidate in candidates])
    problem = Problem(
        law=joint_law(base, n_groups, own), axes=data.axes, log_loss=data.log_loss,
        weight=np.ones(len(data.log_loss)), delta=np.inf,
    )  # fmt: skip
    found = polish(problem, start)
    best = int(found.objective.argmin())
    return problem, found.theta[best], float(2 * found.objective[best])


def _separate(base: Law, data: _Data, group: int | None) -> Floats:
    """The law of one group alone (None: of all runs), in the common scales. [Q]"""
    rows = slice(None) if group is None else data.group == group
    problem = Problem(
        law=base,
        axes={role: data.axes[role][rows] for role in base.axes},
        log_loss=data.log_loss[rows],
        weight=np.ones(len(data.log_loss[rows])),
        delta=_START_DELTA,
    )
    found = polish(problem, find_starts(problem))
    robust = found.theta[[int(found.objective.argmin())]]
    return np.asarray(polish(dataclasses.replace(problem, delta=np.inf), robust).theta[0])


def _gather(base: Law, own: tuple[str, ...], by_group: Floats) -> Floats:
    """Parameters of all groups [G, Q] -> of the joint law [P]; shared ones are averaged."""
    parts = []
    for index, name in enumerate(base.names):
        column = by_group[:, index]
        parts.append(column if name in own else column.mean(keepdims=True))
    return np.concatenate(parts)


def _f_test(small: float, full: float, p_small: int, p_full: int, n_runs: int) -> float:
    from scipy.stats import f  # slow to import

    freedom = n_runs - p_full
    gain = max(small - full, 0.0) / (p_full - p_small)
    return float(f.sf(gain / max(full / freedom, 1e-300), p_full - p_small, freedom))


def _wild_bootstrap(
    null: Problem,
    theta_null: Floats,
    full: Problem,
    theta_full: Floats,
    data: _Data,
    n_boot: int,
    seed: int,
) -> float | None:
    """p of the gain of `full` over `null` under residuals whose sizes are flipped together."""
    if not n_boot:
        return None
    rng = np.random.default_rng(seed)
    fitted = np.log(null.law.model(theta_null[None], null.axes)[0][0])
    residual = data.log_loss - fitted
    n_clusters = int(data.cluster.max()) + 1
    weights = rng.choice(np.concatenate([_WEBB, -_WEBB]), size=(n_boot, n_clusters))
    log_loss = fitted + residual * weights[:, data.cluster]
    sums = []
    for problem, theta in ((null, theta_null), (full, theta_full)):
        drawn = dataclasses.replace(problem, log_loss=log_loss)
        start = np.repeat(theta[None], n_boot, axis=0)
        sums.append(polish(drawn, start, tolerance=1e-6, max_iterations=100).objective)
    observed = objective_values(null, theta_null[None])[0]
    observed /= max(objective_values(full, theta_full[None])[0], 1e-300)
    # The full fit may have stopped above the null's; a ratio under one is no gain.
    ratios = np.maximum(sums[0] / np.maximum(sums[1], 1e-300), 1.0)
    return float((1 + (ratios >= observed).sum()) / (1 + n_boot))


def _level(
    name: str,
    own: tuple[str, ...],
    problem: Problem,
    theta: Floats,
    squares: float,
    p_f: float | None,
    p_boot: float | None,
    base: Law,
    data: _Data,
    groups: Sequence[str],
) -> SharingFit:
    n_runs, n_free = len(data.log_loss), len(theta) + 1  # the variance is a parameter as well
    fit = n_runs * np.log(max(squares, 1e-300) / n_runs)
    spare = n_runs - n_free - 1
    correction = 2 * n_free * (n_free + 1) / spare if spare > 0 else np.inf
    values = {}
    by_group = split_parameters(base, len(groups), own, theta)
    for group, theta_group in zip(groups, by_group, strict=True):
        named = reported(base, theta_group[None], data.scales)
        values[group] = {key: float(value[0]) for key, value in named.items()}
    return SharingFit(
        name=name, own=own, n_parameters=len(theta), sum_squares=squares,
        aicc=float(fit + 2 * n_free + correction), bic=float(fit + n_free * np.log(n_runs)),
        p_f=p_f, p_bootstrap=p_boot, values=values,
    )  # fmt: skip
