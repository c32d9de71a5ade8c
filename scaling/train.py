"""Trains one run: `run(spec, ...) -> RunRecord`.

The data, the masks and the schedule are functions of (seed, step), and there is no dropout, so a
run that is interrupted and resumed, or that starts from another run's trunk, ends with the same
weights as one that was left alone.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from safetensors.torch import save_file

from scaling.accounting import train_flops_per_token
from scaling.checkpoint import best_start
from scaling.files import written_atomically
from scaling.lit import Diverged, LitRun
from scaling.models import build_model
from scaling.objectives import OBJECTIVES
from scaling.outcome import done_record, ended_record
from scaling.record import RunRecord
from scaling.run_log import RunLogger, row_writer
from scaling.spec import RunSpec
from scaling.text import Text
from scaling.watch import Progress, Watch

# Readings along the curve use this share of the validation set.
_READING_SHARE = 8
_LIGHTNING_PRECISION = {"float32": "32-true", "bf16": "bf16-mixed"}


def run(
    spec: RunSpec,
    *,
    text: Text,
    folder: Path,
    fork: Path | None = None,
    logger: RunLogger | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    check_fence: Callable[[], None] = lambda: None,
    attempts: int = 1,
    devices: int | str = "auto",
) -> RunRecord:
    """Trains `spec` to its horizon, evaluates it and returns the record, unpublished.

    Args:
        text: the tokenised corpus; its fingerprints must be the spec's.
        folder: where checkpoints and `weights.safetensors` are written. A `checkpoint.pt`
            that lies there is resumed; it is left for the caller to remove once the record
            is safe.
        fork: trunk checkpoint of a shorter run of the same trunk, to start from.
        check_fence: called before each write; raises if the run was given to someone else.
        attempts: how often this run was started, for the record.
    Raises:
        Interrupted: SIGTERM or SIGUSR1 arrived; a checkpoint was written.
        ValueError: the text is not the one that the spec names.
    """
    _check_text(spec, text)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    torch.manual_seed(spec.seed)
    model = build_model(spec)
    objective = OBJECTIVES[spec.objective]
    n_sequences = max(1, spec.eval_tokens // spec.seq_len)
    lit = LitRun(
        model,
        objective,
        spec,
        text,
        readings=objective.validation_batches(text, spec, max(1, n_sequences // _READING_SHARE)),
        train_flops_per_token=train_flops_per_token(spec),
    )
    start, session = best_start(folder, fork, spec)
    watch = Watch(lit, folder, session, check_fence, on_progress)
    lit.before_steps, lit.after_step = watch.listen, watch.after_step
    if logger is not None:
        lit.on_reading = row_writer(
            logger, lit, with_trunk=start is not None and start == fork, speed=watch.speed
        )
    try:
        with watch.signals(), _quiet_lightning():
            _trainer(spec, devices).fit(lit, ckpt_path=start, weights_only=True)
        check_fence()
        record = done_record(
            lit,
            session=watch.session_now(),
            seconds_before_training=watch.started - started,
            attempts=attempts,
        )
    except Diverged as error:
        return ended_record(spec, "diverged", str(error), spent=watch.spent(), attempts=attempts)
    except Exception as error:
        # For the record of an attempt that timed out or failed.
        error.spent = watch.spent()  # type: ignore[attr-defined]
        raise
    check_fence()
    _write_weights(model, folder / "weights.safetensors")
    return record


def _check_text(spec: RunSpec, text: Text) -> None:
    for name, of_spec, of_text in (
        ("corpus", spec.corpus_fingerprint, text.corpus_fingerprint),
        ("tokenizer", spec.tokenizer_fingerprint, text.tokenizer.fingerprint),
    ):
        if of_spec != of_text:
            raise ValueError(
                f"the {name} of {spec.corpus!r} has fingerprint {of_text}, the spec names "
                f"{of_spec}: the text has changed since the sweep was planned; plan it again"
            )


def _trainer(spec: RunSpec, devices: int | str) -> pl.Trainer:
    return pl.Trainer(
        accelerator="auto",
        devices=devices,
        # In a Slurm job Lightning would expect to be started by srun, once per device, and would
        # take SIGUSR1 for itself. A run is one process here, and the engines see to the rest.
        plugins=[LightningEnvironment()],
        precision=_LIGHTNING_PRECISION[spec.precision],  # type: ignore[arg-type]
        max_steps=spec.total_steps,
        max_epochs=-1,
        gradient_clip_val=spec.gradient_clip,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's notes speak to people who write loops; the launcher speaks to our users."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # It advises to use more of the machine, which the launcher shares among runs.
            warnings.filterwarnings("ignore", ".*available but not used.*")
            warnings.filterwarnings("ignore", ".*does not have many workers.*")
            # On a login node it asks to be started by srun.
            warnings.filterwarnings("ignore", ".*`srun` command is available.*")
            # It tests for a class that this version of torch is about to replace.
            warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _write_weights(model: torch.nn.Module, path: Path) -> None:
    # A tied head shares its tensor with the embedding; the file holds it once.
    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            tensors[name] = tensor.detach().cpu().contiguous()
    with written_atomically(path) as partial:
        save_file(tensors, partial)
