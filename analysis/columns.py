"""Which column of a foreign CSV plays which role: names that people use for N, D, C and loss."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError

# Role -> tiers of names; the first tier that matches wins, and two different columns in one
# tier are an error, because a guess between them would move the exponent.
ALIASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "params_total": (
        ("params_total", "total_params", "n_total"),
        ("n_params", "num_params", "parameters", "params", "model_params", "model_size"),
        ("n",),
    ),
    "params_non_embedding": (
        ("params_non_embedding", "non_embedding_params", "n_non_embedding", "n_no_embed",
         "params_nonembedding", "n_nonembedding", "params_no_embed"),
    ),
    "train_tokens": (
        ("train_tokens", "training_tokens", "tokens", "n_tokens", "num_tokens", "tokens_seen"),
        ("d",),
        ("t",),
    ),
    "unique_tokens": (("unique_tokens", "tokens_unique"),),
    "train_flops": (
        ("train_flops", "training_flops", "flops", "total_flops", "compute_flops", "flop"),
        ("compute", "c"),
        ("budget_flops", "flops_budget", "budget"),
    ),
    "train_flops_6nd": (("train_flops_6nd", "flops_6nd"),),
    "budget_flops": (("budget_flops", "flops_budget", "budget"),),
    "loss": (
        ("loss_nats",),
        ("val_loss", "valid_loss", "validation_loss", "eval_loss", "test_loss"),
        ("loss", "final_loss", "nll"),
        ("train_loss", "training_loss"),
        ("bits_per_byte", "bpb"),
    ),
    "bits_per_byte": (("bits_per_byte", "bpb"),),
    "loss_standard_error": (("loss_standard_error", "loss_se", "loss_stderr"),),
    "seed": (("seed", "random_seed"),),
    "group": (
        ("group",), ("arch", "architecture", "arm"), ("family",), ("model",), ("experiment",),
    ),
    "run_id": (("run_id",), ("run", "run_name"), ("name", "id")),
    "size": (("size", "size_name"),),
    "status": (("status", "state"),),
    "loss_kind": (("loss_kind",), ("objective",)),
}  # fmt: skip

# What the option is called that names the column of a role.
OPTIONS = {"n": "--n", "d": "--d", "c": "--c", "loss": "--loss", "group": "--group"}

_NUMERIC = frozenset({
    "params_total", "params_non_embedding", "train_tokens", "train_flops", "train_flops_6nd",
    "unique_tokens", "budget_flops", "loss", "bits_per_byte", "loss_standard_error",
})  # fmt: skip

# More values than this, or fewer runs than this in each, and a column names runs, not groups.
MAX_GROUPS = 24
_MIN_RUNS_PER_GROUP = 3


def canonical_n(column: str) -> str:
    """The canonical column for a column of N: its name says whether embeddings count."""
    bare = _bare(column)
    return (
        "params_non_embedding"
        if re.search(r"(non?|without|excl)_?emb", bare) or "nonemb" in bare
        else "params_total"
    )


def option_of(role: str) -> str:
    """The command-line option that names the column of a canonical role."""
    short = {"params_total": "n", "params_non_embedding": "n", "train_tokens": "d",
             "train_flops": "c"}.get(role, role)  # fmt: skip
    return OPTIONS.get(short, f"columns={{'{short}': ...}}")


def recognise(
    raw: pd.DataFrame, *, given: Mapping[str, str], source: str
) -> tuple[dict[str, str], list[str]]:
    """Finds the column of each role.

    Args:
        raw: the file as read.
        given: canonical role -> column, named by the user; they are not guessed.
        source: name of the file for messages.
    Returns:
        canonical role -> column of `raw`, and one note per guess that had a rival.
    Raises:
        AnalysisError: two columns of equal standing differ.
    """
    found: dict[str, str] = dict(given)
    notes: list[str] = []
    for role, tiers in ALIASES.items():
        if role in found:
            continue
        if role.startswith("params_") and any(given.get(r) for r in _PARAMS):
            continue
        for tier in tiers:
            matches = [c for c in raw.columns if _bare(str(c)) in tier and _fits(raw[c], role)]
            if role == "group":
                matches = [c for c in matches if not _names_sizes(raw, c, found)]
            if matches:
                column = _one_of(raw, matches, role=role, source=source)
                found[role] = column
                break
    _note_rivals(raw, found, given, notes)
    return found, notes


def text_column(raw: pd.DataFrame, role: str) -> str | None:
    """A column that has a name of the numeric role and holds text alone."""
    names = {name for tier in ALIASES[role] for name in tier}
    found = [c for c in raw.columns if _bare(str(c)) in names and raw[c].notna().any()]
    return next((str(c) for c in found if not _fits(raw[c], role)), None)


_PARAMS = ("params_total", "params_non_embedding")


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def _fits(values: pd.Series, role: str) -> bool:
    """Whether a column can play the role: numbers for axes, few values for groups."""
    if role in _NUMERIC:
        return bool(pd.to_numeric(values, errors="coerce").notna().any())
    if values.isna().all():
        return False
    return role != "group" or may_name_groups(values)


def may_name_groups(values: pd.Series) -> bool:
    """Whether the values are few, and each that of several runs."""
    counts = values.value_counts()
    return bool(1 <= len(counts) <= MAX_GROUPS and counts.median() >= _MIN_RUNS_PER_GROUP)


def _names_sizes(raw: pd.DataFrame, column: str, found: Mapping[str, str]) -> bool:
    """Whether every value of the column stands for one N: it names sizes, not groups."""
    n_column = next((found[role] for role in _PARAMS if role in found), None)
    if n_column is None or raw[column].nunique() < 2:
        return False
    return bool((raw.groupby(column)[n_column].nunique() <= 1).all())


def _one_of(raw: pd.DataFrame, matches: list[str], *, role: str, source: str) -> str:
    first, *rest = matches
    for rival in rest:
        if not _equal(raw[first], raw[rival]):
            raise AnalysisError(
                f"{source}: columns {', '.join(map(repr, matches))} could each be {role} and "
                f"differ; name one by {option_of(role)}"
            )
    return first


def _equal(one: pd.Series, other: pd.Series) -> bool:
    first, second = (pd.to_numeric(s, errors="coerce") for s in (one, other))
    if first.isna().all() or second.isna().all():
        return bool((one.astype(str) == other.astype(str)).all())
    return bool(np.allclose(first, second, rtol=1e-6, equal_nan=True))


def _note_rivals(
    raw: pd.DataFrame, found: dict[str, str], given: Mapping[str, str], notes: list[str]
) -> None:
    """Says what was taken where another column could have been meant."""
    for role, column in found.items():
        if role in given or role in ("bits_per_byte", "budget_flops"):
            continue
        names = {name for tier in ALIASES[role] for name in tier}
        rivals = [
            str(c) for c in raw.columns
            if c != column and c not in found.values()
            and (_bare(str(c)) in names or (role == "loss" and "loss" in _bare(str(c))))
            and _fits(raw[c], role)
        ]  # fmt: skip
        if rivals:
            listed = ", ".join(rivals[:4]) + (", ..." if len(rivals) > 4 else "")
            notes.append(
                f"{role} is column {column!r}; also there: {listed}; "
                f"{option_of(role)} names another"
            )
