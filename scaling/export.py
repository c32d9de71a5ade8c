"""A trained run as a folder that `transformers` loads, with the same logits.

`scaling.transformers_names` knows the names and layouts on the other side; this file checks the
result against our own model before it writes anything.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import tokenizers
import torch

from scaling.evaluate.measurement import Trained
from scaling.install import install_command
from scaling.models import LanguageModel
from scaling.spec import RunSpec
from scaling.tokenizer import SPECIAL_TOKENS, Tokenizer
from scaling.tokenizer_of_run import find_tokenizer
from scaling.transformers_names import FORMATS

# Float32 models of equal weights differ by the order of their sums alone: this much of the
# largest logit, or of 1 where all are smaller.
LOGIT_TOLERANCE = 1e-4


class ExportError(ValueError):
    """A run that cannot be exported; the message gives the value, the rule and the remedy."""


def export_run(trained: Trained, out_dir: Path) -> list[str]:
    """Writes model, configuration and tokenizer of a finished run.

    Args:
        trained: its model is on the processor.
        out_dir: a folder that is new or empty.

    Returns:
        What a reader should know: the class that loads the folder, and what is missing in it.

    Raises:
        ExportError: the folder is in use, or `transformers` is not there
            or too old to give the same logits.
    """
    spec, model = trained.spec, trained.model
    if out_dir.exists() and any(out_dir.iterdir()):
        raise ExportError(f"{out_dir} is not empty; name a new folder")
    theirs = to_transformers(spec, model)
    difference = logit_difference(model, theirs, spec)
    if not difference < LOGIT_TOLERANCE:
        raise ExportError(
            f"logits in transformers {_transformers().__version__} differ by {difference:.2g} of "
            f"the largest, over {LOGIT_TOLERANCE:g}; use transformers 5.2 or later"
        )
    _write_model(theirs, out_dir)
    notes = [f"{type(theirs).__name__}.from_pretrained({str(out_dir)!r}) loads it"]
    if not model.is_causal and type(theirs).__name__.startswith("GPT2"):
        notes.append("its attention is bidirectional, which transformers before 5.2 would ignore")
    tokenizer = find_tokenizer(spec, cache=trained.cache)
    if tokenizer is None:
        notes.append(
            f"no tokenizer with fingerprint {spec.tokenizer_fingerprint} is in the store's cache: "
            "only the model was written"
        )
    else:
        _write_tokenizer(tokenizer, spec, model, out_dir)
    return notes


def to_transformers(spec: RunSpec, model: LanguageModel) -> Any:
    """The same model as an instance of its `transformers` class, on the CPU, in float32.

    Raises:
        ExportError: `transformers` is not installed, or has no such architecture or bias.
    """
    transformers = _transformers()
    if spec.position_bias != "none":
        raise ExportError(
            f"position_bias={spec.position_bias!r} has no class in transformers; runs with "
            "position_bias none can be exported"
        )
    if spec.arch not in FORMATS:
        raise ExportError(
            f"arch={spec.arch!r} has no class in transformers; those that have one: "
            f"{', '.join(FORMATS)}"
        )
    made = FORMATS[spec.arch]
    config_class = getattr(transformers, made.config_class)
    theirs = getattr(transformers, made.model_class)(
        config_class(**made.config(spec, model.is_causal))
    )
    weights = made.weights({name: w.detach().float() for name, w in model.state_dict().items()})
    absent, unexpected = theirs.load_state_dict(weights, strict=False)
    tied = set(theirs.all_tied_weights_keys)
    assert not unexpected, unexpected
    assert set(absent) <= tied, set(absent) - tied
    return theirs.eval()


@torch.no_grad()
def logit_difference(model: LanguageModel, theirs: Any, spec: RunSpec) -> float:
    """Largest difference of token logits, as a share of the largest logit or of 1.

    Taken on random ids, in sequences of full and of half length.
    """
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(
        len(SPECIAL_TOKENS), spec.vocab_size, (2, spec.seq_len), generator=generator
    )
    difference = 0.0
    for n_positions in (spec.seq_len, spec.seq_len // 2):
        given_BT = ids_BT[:, :n_positions]
        output = theirs(input_ids=given_BT)
        # Only pre-training classes name their token logits otherwise.
        logits_BTV = getattr(output, "prediction_logits", None)
        logits_BTV = output.logits if logits_BTV is None else logits_BTV
        ours_BTV = model.logits(model(given_BT))
        scale = float(ours_BTV.abs().max().clamp(min=1.0))
        difference = max(difference, float((logits_BTV - ours_BTV).abs().max()) / scale)
    return difference


def _write_model(theirs: Any, out_dir: Path) -> None:
    logging = _transformers().utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        theirs.save_pretrained(out_dir)
    finally:
        if shown:
            logging.enable_progress_bar()


def _write_tokenizer(
    tokenizer: Tokenizer, spec: RunSpec, model: LanguageModel, out_dir: Path
) -> None:
    """Writes tokenizer.json and its settings; here special tokens are found in text."""
    tokenizer.save(out_dir)
    backend = tokenizers.Tokenizer.from_file(os.fspath(out_dir / "tokenizer.json"))
    pad, cls, sep, mask = SPECIAL_TOKENS
    # As in training: every sequence starts with [CLS], and a [SEP] ends a document, which a
    # model that continues a prompt must not read.
    single, pair = f"{cls} $A {sep}", f"{cls} $A {sep} $B:1 {sep}:1"
    if model.is_causal:
        single, pair = f"{cls} $A", f"{cls} $A $B"
    backend.post_processor = tokenizers.processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(t, backend.token_to_id(t)) for t in (cls, sep)]
    )
    inputs = ["input_ids", "attention_mask"]
    if model.segment_embedding is not None:
        inputs.append("token_type_ids")
    _transformers().PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=pad, cls_token=cls, sep_token=sep, mask_token=mask,
        bos_token=cls, eos_token=sep,
        model_max_length=spec.seq_len,
        # Any other class reads segment ids as tokens, or out of range.
        model_input_names=inputs,
        clean_up_tokenization_spaces=False,
    ).save_pretrained(out_dir)  # fmt: skip


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise ExportError(
            "transformers is not installed, and export writes its format; "
            f"install it with: {install_command('export')}"
        ) from None
