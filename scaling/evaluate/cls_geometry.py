"""Why is the similarity of any two sentences' [CLS] vectors so high? The geometry, by layer.

The vectors of passages of one length, pooled at [CLS], at the last position or as the mean, in
each layer: cosines of passages of different documents, what makes them high (the mean vector, a few
dimensions), what is left when that is taken away, and whether the vectors then tell documents apart
and rank sentence pairs as people do (STS).
"""

# Array axes: N vectors, E width, P pairs, B batch, T sequence.

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
import torch

from scaling.errors import SweepError
from scaling.evaluate import geometry
from scaling.evaluate.geometry import CURES, NoSpreadError
from scaling.evaluate.hidden_states import hidden_states
from scaling.evaluate.measurement import (
    Measurement,
    Report,
    Trained,
    Weights,
    fingerprint,
    place,
)
from scaling.evaluate.passages import draw_passages
from scaling.evaluate.sentence_pairs import read_sentence_pairs
from scaling.tokenizer import CLS_ID, PAD_ID

POOLINGS = ("cls", "mean", "last")
TOP_DIMENSIONS = (1, 3, 5)
HISTOGRAM_BINS = 80
_BATCH_POSITIONS = 16_384
_CAUSAL_CLS = "a causal model's [CLS] comes first and sees no text: its vector is a constant"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured.

    Attributes:
        positions: of each passage, [CLS] included.
        documents, per_document: passages come from so many held-out documents, so many from each.
        passage_seed: draws them.
        weights: `initial` for the untrained model, the control.
        sts: a JSONL file of scored sentence pairs; None for none.
    """

    positions: int = 64
    documents: int = 64
    per_document: int = 8
    passage_seed: int = 0
    weights: Weights = "trained"
    sts: str | None = place()

    def __post_init__(self) -> None:
        for name, least in (("positions", 8), ("documents", 2), ("per_document", 1)):
            if getattr(self, name) < least:
                raise SweepError(f"cls_geometry: {name}={getattr(self, name)} is under {least}")


def data(options: Options) -> dict[str, str]:
    if options.sts is None:
        return {}
    read_sentence_pairs(Path(options.sts))  # what is wrong is said before anything is trained
    return {"sts": fingerprint(Path(options.sts))}


def measure(trained: Trained, options: Options, report: Report) -> dict[str, Any]:
    """The geometry of every layer and pooling; see `measure_vectors`."""
    if options.positions > trained.spec.seq_len:
        raise SweepError(
            f"cls_geometry: positions={options.positions} exceeds the run's "
            f"seq_len={trained.spec.seq_len}; ask for at most that"
        )
    n_layers = len(trained.model.blocks) + 1
    parts = n_layers * len(POOLINGS) + 2
    passages = draw_passages(
        trained.text.validation,
        positions=options.positions,
        documents=options.documents,
        per_document=options.per_document,
        seed=options.passage_seed,
    )
    vectors = pooled(trained, list(passages.ids_NT))
    report(1, parts)
    sts = _sts_vectors(trained, options)
    report(2, parts)
    layers: dict[str, Any] = {}
    missing: dict[str, str] = {}
    for layer in range(n_layers):
        found: dict[str, Any] = {}
        for number, pooling in enumerate(POOLINGS):
            place_of = f"layers.{layer}.{pooling}"
            if pooling == "cls" and trained.model.is_causal:
                found[pooling], missing[place_of] = None, _CAUSAL_CLS
                continue
            found[pooling], why = measure_vectors(
                vectors[layer][pooling],
                passages.document_N,
                with_histogram=layer == n_layers - 1,
            )
            missing |= {f"{place_of}.{name}": reason for name, reason in why.items()}
            if sts is not None:
                scores, why = sts_spearman(*sts, vectors_of=(layer, pooling))
                found[pooling]["sts_spearman"] = scores
                missing |= {
                    f"{place_of}.sts_spearman.{name}": reason for name, reason in why.items()
                }
            report(2 + layer * len(POOLINGS) + number + 1, parts)
        layers[str(layer)] = found
    return {
        "passages": len(passages.ids_NT),
        "documents": len(np.unique(passages.document_N)),
        "chance_same_document": (options.per_document - 1) / (len(passages.ids_NT) - 1),
        "sts_pairs": 0 if sts is None else len(sts[0]),
        "layers": layers,
        "missing": missing,
    }


def measure_vectors(
    x_NE: np.ndarray, document_N: np.ndarray, *, with_histogram: bool
) -> tuple[dict[str, Any], dict[str, str]]:
    """The geometry of one set of vectors, and why a value of it is null.

    Args:
        document_N: cosines are of pairs of different documents.
        with_histogram: of the cosines, raw and centred, in equal bins from -1 to 1.
    """
    one_P, other_P = geometry.pairs_apart(document_N)
    raw_P = geometry.pair_cosines(x_NE, one_P, other_P)
    parts_E = geometry.contributions(x_NE, document_N)
    found: dict[str, Any] = {"mean_share": geometry.mean_share(x_NE)}
    missing: dict[str, str] = {}
    for name, cure in CURES.items():
        try:
            cured_NE = cure(x_NE)
        except NoSpreadError as error:
            found[name], missing[name] = None, str(error)
            continue
        cosine_P = geometry.pair_cosines(cured_NE, one_P, other_P)
        found[name] = {
            "cosine_mean": float(cosine_P.mean()),
            "cosine_sd": float(cosine_P.std()),
            "same_document": geometry.same_group_neighbours(cured_NE, document_N),
        }
        if with_histogram and name in ("raw", "centred"):
            counts, _ = np.histogram(cosine_P, HISTOGRAM_BINS, (-1.0, 1.0 + 1e-9))
            found[name]["histogram"] = counts.tolist()
    order = np.sort(parts_E)[::-1]
    for count in TOP_DIMENSIONS:
        left_P = geometry.pair_cosines(
            geometry.without_dimensions(x_NE, parts_E, count), one_P, other_P
        )
        entry: dict[str, Any] = {
            "share_of_cosine": float(order[:count].sum() / order.sum()),
            "cosine_mean_without": float(left_P.mean()),
        }
        try:
            entry["r_squared_without"] = geometry.r_squared(raw_P, left_P)
        except NoSpreadError as error:
            entry["r_squared_without"] = None
            missing[f"top_{count}_dimensions.r_squared_without"] = str(error)
        found[f"top_{count}_dimensions"] = entry
    try:
        found["iso_score"] = geometry.iso_score(x_NE)
    except NoSpreadError as error:
        found["iso_score"], missing["iso_score"] = None, str(error)
    return found, missing


def sts_spearman(
    scores_P: np.ndarray,
    vectors: Sequence[dict[str, np.ndarray]],
    *,
    vectors_of: tuple[int, str],
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Spearman correlation of cosine and human score after each cure, and why one is null.

    The statistics that a cure needs come from the sentences themselves, both sides together.

    Args:
        vectors: by layer and pooling, the first sentences of all pairs and then the second ones.
    """
    layer, pooling = vectors_of
    x_NE = vectors[layer][pooling]
    n_pairs = len(scores_P)
    found: dict[str, float | None] = {}
    missing: dict[str, str] = {}
    for name, cure in CURES.items():
        try:
            cured_NE = cure(x_NE)
            cosine_P = geometry.row_cosines(cured_NE[:n_pairs], cured_NE[n_pairs:])
            if np.ptp(cosine_P) < 1e-12:
                raise NoSpreadError("all cosines are equal, and so rank nothing")
            found[name] = float(scipy.stats.spearmanr(cosine_P, scores_P).statistic)
        except NoSpreadError as error:
            found[name], missing[name] = None, str(error)
    return found, missing


def _sts_vectors(
    trained: Trained, options: Options
) -> tuple[np.ndarray, list[dict[str, np.ndarray]]] | None:
    if options.sts is None:
        return None
    pairs = read_sentence_pairs(Path(options.sts))
    room = trained.spec.seq_len - 1
    ids = [
        np.append(CLS_ID, ids[:room].astype(np.int64))
        for ids in trained.text.tokenizer.encode_all([*pairs.one, *pairs.other])
    ]
    return pairs.scores_P, pooled(trained, ids)


def pooled(trained: Trained, sequences: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """By layer and pooling, the vector of each sequence: float64 [N, E].

    `cls` is position 0, `last` the last token, `mean` that of all tokens but [CLS].
    """
    longest_first = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
    order: list[int] = []
    parts: list[list[dict[str, np.ndarray]]] = []
    while len(order) < len(sequences):
        rows = max(1, _BATCH_POSITIONS // len(sequences[longest_first[len(order)]]))
        batch = longest_first[len(order) : len(order) + rows]
        parts.append(_pooled_batch(trained, [sequences[index] for index in batch]))
        order += batch
    back = np.argsort(order)
    return [
        {name: np.concatenate([part[layer][name] for part in parts])[back] for name in POOLINGS}
        for layer in range(len(parts[0]))
    ]


def _pooled_batch(trained: Trained, batch: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    lengths_B = np.array([len(ids) for ids in batch])
    ids_BT = np.full((len(batch), lengths_B.max()), PAD_ID, dtype=np.int64)
    for row, ids in enumerate(batch):
        ids_BT[row, : len(ids)] = ids
    valid_BT = np.arange(ids_BT.shape[1]) < lengths_B[:, None]
    is_padded = not valid_BT.all()
    states = hidden_states(
        trained.model,
        torch.from_numpy(ids_BT).to(trained.device),
        torch.from_numpy(valid_BT).to(trained.device) if is_padded else None,
    )
    text_BT1 = valid_BT[:, :, None].astype(np.float64)
    text_BT1[:, 0] = 0.0
    found = []
    for state in states:
        x_BTE = state.double().cpu().numpy()
        found.append(
            {
                "cls": x_BTE[:, 0],
                "mean": (x_BTE * text_BT1).sum(axis=1) / text_BT1.sum(axis=1),
                "last": x_BTE[np.arange(len(batch)), lengths_B - 1],
            }
        )
    return found


CLS_GEOMETRY = Measurement(options=Options, measure=measure, data=data)
