"""What a user can set right, and how it is said: one line with the value, the rule, the remedy."""

from __future__ import annotations

import dis
import errno
import shutil
from pathlib import Path
from types import TracebackType

_SUITE = ("scaling", "analysis")
_RAISE = dis.opmap["RAISE_VARARGS"]

# What the machine refuses whatever the cell: no other cell would fare better.
BLOCKING_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE}
    | {errno.EIO, errno.ESTALE}
)


class SweepError(ValueError):
    """A sweep file, or a parameter in it, that breaks a rule."""


class StoreError(ValueError):
    """A store, or a name in it, that cannot be used."""


class DamagedFile(StoreError):
    """A file of the store that is not as it was written."""

    def __init__(self, path: Path | str, damage: str) -> None:
        self.path, self.damage = Path(path), damage
        super().__init__(
            f"{path} {damage}: it is damaged; `scaling store check --mend --root ROOT` moves it "
            "aside, and `scaling run` makes it anew"
        )


class EvaluationError(ValueError):
    """A measurement that cannot be made as asked."""


class TrackingError(ValueError):
    """W&B cannot do what is asked: no key, no answer, a project or a run that does not fit."""


class EngineError(ValueError):
    """An engine that cannot be had as asked: not installed, not reached, a wrong option."""


def user_message(error: BaseException) -> str | None:
    """The line for an error that a user can set right; None for a bug of ours.

    A ValueError counts when the suite itself raised it: one that numpy or torch raises on our
    behalf is a bug and keeps its traceback.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return describe_os_error(error)
    if isinstance(error, ValueError) and _raised_by_suite(error):
        return " ".join(str(error).split())
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a run ended because its memory did not suffice."""
    import torch

    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # The CPU allocator of torch raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("can't allocate memory", "std::bad_alloc")
    )


def describe_os_error(error: OSError, path: Path | str | None = None) -> str:
    """An error of the operating system as path, cause and remedy."""
    place = Path(str(error.filename or path or "."))
    cause = (error.strerror or str(error)).lower()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{place}: {cause}, {_free_bytes(place)} bytes are free; free some and run again"
    if error.errno == errno.EROFS:
        return f"{place}: {cause}; choose a place that can be written with --root"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{place}: {cause}; change its permissions or choose another --root"
    if error.errno == errno.ENOENT:
        return f"{place}: {cause}; check the path"
    return f"{place}: {cause}"


def _free_bytes(place: Path) -> str:
    for folder in (place, *place.absolute().parents):
        if folder.is_dir():
            return f"{shutil.disk_usage(folder).free:,}"
    return "an unknown number of"


def _raised_by_suite(error: BaseException) -> bool:
    if type(error).__module__.partition(".")[0] in _SUITE:
        return True
    innermost: TracebackType | None = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    if innermost is None:
        return False
    module = str(innermost.tb_frame.f_globals.get("__name__", ""))
    # A `raise` statement of the suite, and not a call such as int() that failed in its line.
    instruction = innermost.tb_frame.f_code.co_code[innermost.tb_lasti]
    return module.partition(".")[0] in _SUITE and instruction == _RAISE
