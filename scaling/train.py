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
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.strategies import Strategy
from safetensors.torch import save_file

from scaling.accounting import train_flops_per_token
from scaling.checkpoint import Session, best_start
from scaling.compiling import compile_regions, quiet
from scaling.files import written_atomically
from scaling.lit import LitRun
from scaling.models import build_model
from scaling.objectives import OBJECTIVES
from scaling.outcome import done_record, ended_record, evaluate
from scaling.ranks import together
from scaling.readings import Diverged
from scaling.record import RunRecord
from scaling.run_log import RunLogger, row_writer
from scaling.spec import RunSpec
from scaling.split import ONE_DEVICE, Split
from scaling.strategies import accelerator, make_strategy
from scaling.text import Text
from scaling.text_of_run import check_text
from scaling.watch import Interrupted, Progress, Watch

# Readings along the curve use this share of the validation set.
_READING_SHARE = 8


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
    split: Split = ONE_DEVICE,
    compiled: bool = False,
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
        split: over how many devices, and in which pieces; the result is the same.
        compiled: whether one device runs compiled steps; the result differs by rounding alone.
    Raises:
        Interrupted: SIGTERM or SIGUSR1 arrived; a checkpoint was written.
        RankDied: another process of the run was lost; the last checkpoint is there.
        ValueError: the text is not the one that the spec names, or the split is impossible.
    """
    check_text(spec, text)
    split.check(spec)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    start, session = best_start(folder, fork, spec)
    part = Part(
        spec=spec,
        text=text,
        folder=folder,
        split=split,
        start=start,
        session=session,
        compiled=compiled and split.devices == 1,
    )
    lit = _build(part)
    watch = Watch(lit, folder, session, check_fence, on_progress)
    if logger is not None:
        lit.on_reading = row_writer(
            logger, lit, with_trunk=start is not None and start == fork, speed=watch.speed
        )
    try:
        with together(split.devices, _train_beside, part, quiet=(Interrupted, Diverged)):
            _fit(part, 0, lit, watch)
            session = watch.session_now()
            check_fence()
            found, weights = evaluate(lit), _whole_weights(lit)
        record = done_record(
            lit,
            found,
            split=split,
            session=session,
            seconds_before_training=watch.started - started,
            attempts=attempts,
        )
    except Diverged as error:
        return ended_record(
            spec, "diverged", str(error), spent=watch.spent(), split=split, attempts=attempts
        )
    except Exception as error:
        # For the record of an attempt that timed out or failed.
        error.spent = watch.spent()  # type: ignore[attr-defined]
        raise
    check_fence()
    with written_atomically(folder / "weights.safetensors") as partial:
        save_file(weights, partial)
    return record


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What every process of a run is told.

    Attributes:
        start: the checkpoint to go on from; rank 0 alone chooses it.
    """

    spec: RunSpec
    text: Text
    folder: Path
    split: Split
    start: Path | None
    session: Session
    compiled: bool = False


def _train_beside(rank: int, part: Part) -> None:
    """What the processes beside rank 0 do: the same, and rank 0 alone speaks and writes."""
    lit = _build(part)
    _fit(part, rank, lit, Watch(lit, part.folder, part.session, lambda: None, None))
    evaluate(lit)
    _whole_weights(lit)


def _build(part: Part) -> LitRun:
    spec, split = part.spec, part.split
    objective = OBJECTIVES[spec.objective]
    torch.manual_seed(spec.seed)
    n_sequences = max(1, spec.eval_tokens // spec.seq_len)
    lit = LitRun(
        build_model(spec),
        objective,
        spec,
        part.text,
        readings=objective.validation_batches(
            part.text, spec, max(1, n_sequences // _READING_SHARE)
        ),
        train_flops_per_token=train_flops_per_token(spec),
        micro_batches=split.micro_batches(spec),
        evaluation_rows=split.micro_batch,
    )
    if part.compiled:
        rows = spec.sequences_per_step // lit.micro_batches
        compile_regions(lit.model, n_targets=rows * objective.head_positions(spec))
    if split.is_sharded:
        from scaling.sharding import shard_model

        lit.lay_out = shard_model
    return lit


def _fit(part: Part, rank: int, lit: LitRun, watch: Watch) -> None:
    lit.after_step, lit.after_training = watch.after_step, watch.after_training
    with _quiet_lightning():
        trainer = _trainer(part.spec, part.split, make_strategy(part.split, rank, lit))
        # It would take SIGTERM for itself; `watch` has it.
        trainer._signal_connector.register_signal_handlers = lambda: None  # type: ignore[method-assign]
        with watch.signals(), quiet():
            trainer.fit(lit, ckpt_path=part.start, weights_only=True)


def _trainer(spec: RunSpec, split: Split, strategy: Strategy | str) -> pl.Trainer:
    return pl.Trainer(
        accelerator=accelerator(split),
        devices=split.devices,
        strategy=strategy,
        # In a Slurm job Lightning would expect to be started by srun, once per device, and would
        # take SIGUSR1 for itself. A run has processes of its own, and the engines see to the rest.
        plugins=[LightningEnvironment()] if isinstance(strategy, str) else [],
        max_steps=spec.total_steps,
        max_epochs=-1,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's notes speak to people who write loops, or advertise; ours is the log."""
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


def _whole_weights(lit: LitRun) -> dict[str, torch.Tensor]:
    """The weights on the CPU; on several devices all of them call it, and rank 0 gets them."""
    state = lit.model.state_dict()
    if lit.lay_out is not None:
        from scaling.sharding import whole_state

        state = whole_state(lit.model)
    # A tied head shares its tensor with the embedding; the file holds it once.
    tensors, seen = {}, set()
    for name, tensor in state.items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            tensors[name] = tensor.detach().cpu().contiguous()
    return tensors
