"""How the batch of one optimizer step is cut: over devices, and on each into micro-batches.

How a run is cut is no part of its identity. Every piece counts its loss as summed nats over the
targets of the whole step, never as a mean of its own, so that the gradients add up to those of the
whole batch also where pieces hold different numbers of masked tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from scaling.files import write_atomic
from scaling.spec import RunSpec

if TYPE_CHECKING:
    from scaling.record import RunRecord

Strategy = Literal["ddp", "fsdp"]

# Beside the spec of a cell: what its memory has been found to hold.
MICRO_BATCH_FILE = "micro_batch.json"


class SplitError(ValueError):
    """A batch that cannot be cut as asked; the message gives the value, the rule, the remedy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """How a run is laid out; two runs of one spec may differ in it and agree in their result.

    Attributes:
        devices: processes that share each batch, one for each GPU or share of the processors.
        strategy: `ddp` keeps the whole model on each device, `fsdp` a share of it.
        micro_batch: sequences that one device takes through the model at a time; None, or any
            number from the device's share of the batch on, for all of them at once.
    """

    devices: int = 1
    strategy: Strategy = "ddp"
    micro_batch: int | None = None

    @property
    def is_sharded(self) -> bool:
        return self.devices > 1 and self.strategy == "fsdp"

    def check(self, spec: RunSpec) -> None:
        """Raises SplitError where the batch of `spec` cannot be cut so."""
        rows = spec.sequences_per_step
        for name, value in (("devices", self.devices), ("micro_batch", self.micro_batch)):
            if value is not None and value < 1:
                raise SplitError(f"{name}={value} is not positive; give at least 1")
        if rows % self.devices:
            raise SplitError(
                f"batch_tokens={spec.batch_tokens} holds {rows} sequences, which devices="
                f"{self.devices} cannot share equally; {_devices_that_fit(rows, self.devices)}"
            )
        share = rows // self.devices
        if self.micro_batch is not None and self.micro_batch < share and share % self.micro_batch:
            raise SplitError(
                f"batch_tokens={spec.batch_tokens} holds {rows} sequences, not a multiple of "
                f"devices={self.devices} x micro_batch={self.micro_batch}; "
                f"take micro_batch {_largest_divisor(share, self.micro_batch)}"
            )

    def micro_batches(self, spec: RunSpec) -> int:
        """Into how many pieces each device cuts its share of a batch."""
        share = spec.sequences_per_step // self.devices
        return share // min(self.micro_batch or share, share)

    def within(self, limit: int | None, spec: RunSpec) -> Split:
        """The same split with micro-batches of at most `limit` sequences."""
        share = spec.sequences_per_step // self.devices
        if limit is None or limit >= min(self.micro_batch or share, share):
            return self
        return replace(self, micro_batch=_largest_divisor(share, limit))


ONE_DEVICE = Split()


def check_devices(split: Split) -> None:
    """Raises SplitError where this machine has GPUs, but fewer than each cell needs."""
    if split.devices == 1:
        return
    from scaling import machine

    if 0 < (found := machine.gpus()) < split.devices:
        raise SplitError(
            f"devices={split.devices}, but this machine has {found} GPUs; take --devices {found}"
        )


def smaller_micro_batch(record: RunRecord) -> int | None:
    """Half of the micro-batch with which a run ended, or the next less that divides the batch.

    Returns:
        Sequences per device at a time; None when it was one already.
    """
    how = record.provenance
    share = record.spec.sequences_per_step // how.devices
    used = min(how.micro_batch or share, share)
    return _largest_divisor(share, used // 2) if used > 1 else None


def read_micro_batch(folder: Path) -> int | None:
    """The most sequences at a time that the memory of this cell is trusted with, if any."""
    try:
        limit = json.loads((folder / MICRO_BATCH_FILE).read_bytes())["micro_batch"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        limit = None
    if not isinstance(limit, int) or limit < 1:
        raise SplitError(
            f"{folder / MICRO_BATCH_FILE} does not hold a positive micro_batch; remove the file"
        )
    return limit


def write_micro_batch(folder: Path, micro_batch: int) -> None:
    write_atomic(folder / MICRO_BATCH_FILE, json.dumps({"micro_batch": micro_batch}) + "\n")


def _largest_divisor(of: int, at_most: int) -> int:
    return next(divisor for divisor in range(at_most, 0, -1) if of % divisor == 0)


def _devices_that_fit(rows: int, devices: int) -> str:
    fewer = _largest_divisor(rows, min(devices, rows))
    return f"take --devices {fewer}, or a batch_tokens that is a multiple of seq_len x {devices}"
