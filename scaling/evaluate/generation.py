"""Measurement `generation`: what a model writes, how good and how varied it is, what it costs.

On a grammar the truth is known, so samples are measured against it. On text a judge is needed, a
causal model of the suite that has read other documents. All measures are taken of as many real,
held-out texts as well: low perplexity from low entropy fools.

Protocol: docs/questions.md, question 3.
"""

# Tensor axes: B texts, T positions.

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scaling.corpora.grammar import known_grammar
from scaling.errors import EvaluationError
from scaling.evaluate.canvases import Given, real_windows, with_blanks
from scaling.evaluate.diversity import diversity
from scaling.evaluate.judge import check_held_out, check_judge, judged_nats
from scaling.evaluate.measurement import Measurement, Report, Trained, Weights, load_trained
from scaling.evaluate.truth import against_truth
from scaling.evaluate.written import Written, write
from scaling.generation import SAMPLERS, GenerationError, Settings, sampler_for, why_unfit
from scaling.generation.sampler import Energy, check_settings
from scaling.spec import RunSpec
from scaling.store import Store
from scaling.tokenizer import FIRST_TEXT_ID, MASK_ID


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationOptions:
    """What is written, and how.

    Attributes:
        sampler: key of `scaling.generation.SAMPLERS`; `default` suits the model and the blanks.
        temperature, top_k, top_p, steps, sweeps, candidates, energy: `scaling.generation.Settings`.
        given: what stands there before: `nothing`, `prefix` (the first half of a held-out
            text), `both_sides` (its first and last quarter).
        samples: texts to write; as many held-out ones are the reference.
        judge: run id of the model that judges text; none for no judgement.
        weights: `initial` measures the untrained model of the same seed.
        seed: of the sampler's noise.
    """

    sampler: str = "default"
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    steps: int | None = None
    sweeps: int | None = None
    candidates: int | None = None
    energy: Energy | None = None
    given: Given = "nothing"
    samples: int = 128
    judge: str | None = None
    weights: Weights = "trained"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise EvaluationError(
                f"samples={self.samples} leave nothing to compare a text with; give 2 or more"
            )
        settings = self.settings()  # says what is wrong with them
        if self.seed < 0:
            raise GenerationError(f"seed={self.seed} is negative; give 0 or more")
        if self.sampler in SAMPLERS:
            check_settings(self.sampler, SAMPLERS[self.sampler], settings)
        elif self.sampler != "default":
            known = ", ".join(["default", *SAMPLERS])
            raise GenerationError(f"sampler={self.sampler!r} is unknown; known: {known}")

    def settings(self) -> Settings:
        return Settings(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            steps=self.steps,
            sweeps=self.sweeps,
            candidates=self.candidates,
            energy=self.energy,
        )


def measure(trained: Trained, options: GenerationOptions, report: Report) -> dict[str, Any]:
    """Writes `samples` texts and measures them and as many real ones.

    Returns:
        `written` and `real`: quality and diversity of each. `cost`: per token, per text and per
        valid sentence. `moves`: what a chain of moves did. `missing`: why a value is null.
    """
    judge = _judge(trained, options)
    real_BT = real_windows(trained.text, seq_len=trained.spec.seq_len, n_texts=options.samples)
    canvases_BT = with_blanks(real_BT, options.given)
    name = options.sampler
    if name == "default":
        name = sampler_for(trained.spec, torch.from_numpy(canvases_BT))
    began = time.perf_counter()
    written = write(
        trained.model, trained.spec, canvases_BT, name, options.settings(), options.seed, report
    )
    seconds = time.perf_counter() - began
    values: dict[str, Any] = {
        "sampler": name,
        "tokens_per_text": int((canvases_BT[0] == MASK_ID).sum()),
        "written": _quality(trained, canvases_BT, written.ids_BT, judge, written),
        "real": _quality(trained, canvases_BT, real_BT, judge),
        "moves": written.moves,
    }
    values["cost"] = _cost(trained, written, values, options.samples, seconds)
    return values | {"missing": _missing(values, written, judge is not None)}


def _judge(trained: Trained, options: GenerationOptions) -> Trained | None:
    if options.judge is None:
        return None
    judge = load_trained(Store(trained.root), options.judge, device=trained.device)
    check_judge(judge.spec, trained.spec)
    check_held_out(options.judge, judge.text, trained.text)
    return judge


def _quality(
    trained: Trained,
    canvases_BT: np.ndarray,
    ids_BT: np.ndarray,
    judge: Trained | None,
    written: Written | None = None,
) -> dict[str, Any]:
    found: dict[str, Any] = {"truth": None, "judge": None}
    grammar = known_grammar(trained.spec.corpus)
    is_whole = grammar is not None and trained.spec.seq_len == grammar.knobs.document_tokens + 2
    filled_BT = canvases_BT == MASK_ID
    texts: list[list[Any]] = [
        ids[filled].tolist() for ids, filled in zip(ids_BT, filled_BT, strict=True)
    ]
    if grammar is not None and is_whole and trained.spec.tokenizer == "bytes":
        found["truth"] = against_truth(
            grammar,
            ids_BT,
            canvases_BT,
            None if written is None else written.log_q_B,
            given_order=written is None or written.given_order,
        )
    else:
        # Words, as BLEU has them: of the tokens of a byte model nearly all orders repeat.
        texts = [trained.text.tokenizer.decode(ids).split() for ids in texts]
    if judge is not None:
        nats_B = judged_nats(
            judge.model,
            torch.from_numpy(ids_BT),
            torch.from_numpy(canvases_BT),
            device=judge.device,
        )
        found["judge"] = {
            "nats_per_token": float(nats_B.mean()),
            "standard_error": float(nats_B.std(ddof=1) / np.sqrt(len(nats_B))),
        }
    tokens = ids_BT[filled_BT & (ids_BT >= FIRST_TEXT_ID)]
    found["token_entropy_nats"] = _entropy(tokens)
    return found | {"diversity": diversity(texts)}


def _entropy(tokens: np.ndarray) -> float:
    shares = np.bincount(tokens) / len(tokens)
    shares = shares[shares > 0]
    return float(-(shares @ np.log(shares))) + 0.0


def _cost(
    trained: Trained, written: Written, values: dict[str, Any], samples: int, seconds: float
) -> dict[str, Any]:
    flops, n_tokens = written.cost.flops(trained.spec), samples * values["tokens_per_text"]
    truth = values["written"]["truth"]
    n_valid = 0 if truth is None else truth["valid_sentence_count"]
    return {
        "forward_passes_per_token": written.cost.forward_passes / n_tokens,
        "positions_per_token": written.cost.positions / n_tokens,
        "flops_per_token": flops / n_tokens,
        "flops_per_text": flops / samples,
        "flops_per_valid_sentence": flops / n_valid if n_valid else None,
        # Of this machine at this hour, unlike all other values.
        "seconds_per_token": seconds / n_tokens,
        "seconds_per_valid_sentence": seconds / n_valid if n_valid else None,
    }


def _missing(values: dict[str, Any], written: Written, is_judged: bool) -> dict[str, str]:
    missing = {}
    no_truth = "the distribution of the text is not known, or windows are no whole documents"
    no_valid = no_truth if values["written"]["truth"] is None else "no sentence was valid"
    for who in ("written", "real"):
        if values[who]["truth"] is None:
            missing[f"{who}.truth"] = no_truth
        elif values[who]["truth"]["valid_log_prob_nats"] is None:
            missing[f"{who}.truth.valid_log_prob_nats"] = "no document was valid"
        if not is_judged:
            missing[f"{who}.judge"] = "the option `judge` names no run"
    if values["cost"]["flops_per_valid_sentence"] is None:
        missing["cost.flops_per_valid_sentence"] = no_valid
        missing["cost.seconds_per_valid_sentence"] = no_valid
    if values["moves"] is None:
        missing["moves"] = "the sampler draws each token once"
    return missing


def unfit(spec: RunSpec, options: GenerationOptions) -> str | None:
    """Why a run cannot write so: the sampler is for the other family of models."""
    if options.sampler == "default":
        return None
    return why_unfit(options.sampler, spec)


MEASUREMENT = Measurement(options=GenerationOptions, measure=measure, unfit=unfit)
