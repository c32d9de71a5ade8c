"""Moves what is not to count any more out of the way; nothing is deleted, nothing replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from scaling.cell_files import CHECKPOINT, RECORD


def move_to_free_name(path: Path, folder: Path, name: str, *, number: int = 1) -> Path | None:
    """Moves a file or a folder to the first free name in `folder`.

    Args:
        name: with `{number}` in it, such as "{number:03d}.failed.json".
        number: the first one to try.
    Returns:
        Where it lies now; None when it was gone.
    """
    is_folder = path.is_dir()
    while True:
        target = folder / name.format(number=number)
        try:
            # The name is taken first, by something empty that the rename replaces.
            if is_folder:
                target.mkdir()
            else:
                target.touch(exist_ok=False)
            break
        except FileExistsError:
            number += 1
    try:
        os.rename(path, target)
    except OSError as error:
        target.rmdir() if is_folder else target.unlink()
        if isinstance(error, FileNotFoundError):
            return None
        raise
    return target


def set_aside(root: Path, path: Path, is_damaged: Callable[[Path], bool]) -> Path | None:
    """Moves a damaged file or folder of the store to `<root>/damaged/`.

    Args:
        is_damaged: asked again once it is moved, since a whole one may have come in between; that
            one is put back.
    Returns:
        Where it lies now; None when there is nothing damaged any more.
    """
    damaged = root / "damaged"
    damaged.mkdir(exist_ok=True)
    # What is beside the cells, such as a sweep's listing, has its folder in its name too.
    name = "-".join(path.relative_to(root).parts[-2:]).removeprefix("cells-")
    target = move_to_free_name(path, damaged, f"{name}.{{number:03d}}")
    if target is None or is_damaged(target):
        return target
    try:
        os.link(target, path)
    except FileExistsError:
        return target
    target.unlink()
    return None


def end_attempt(folder: Path, state: str) -> bool:
    """Moves the record of a cell to `ended/`, and its checkpoint where the trouble lies in it.

    A run that diverged starts anew. Any other goes on from its checkpoint, unless it has failed
    from this very checkpoint before: then that is the suspect, and the run starts anew as well.

    Returns:
        False when the record was gone.
    """
    ended = folder / "ended"
    ended.mkdir(exist_ok=True)
    number = len(list(ended.glob("*.json"))) + 1
    checkpoint = folder / CHECKPOINT
    if state == "diverged" or (state == "failed" and _failed_from(checkpoint, ended)):
        move_to_free_name(checkpoint, ended, "{number:03d}.checkpoint.pt", number=number)
    record = folder / RECORD
    return (
        move_to_free_name(record, ended, f"{{number:03d}}.{state}.json", number=number) is not None
    )


def _failed_from(checkpoint: Path, ended: Path) -> bool:
    """Whether an earlier failure came after this checkpoint was written."""
    try:
        written_seconds = checkpoint.stat().st_mtime
    except FileNotFoundError:
        return False
    return any(path.stat().st_mtime >= written_seconds for path in ended.glob("*.failed.json"))
