"""Writes that other processes see whole or not at all, also on a network file system."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path

from scaling.errors import StoreError


def write_atomic(path: Path, content: str | bytes, *, durable: bool = False) -> None:
    """Replaces `path` at once.

    Args:
        durable: wait until it would survive a power cut.
    Raises:
        OSError: with the path in `filename`, also when the disk is full.
    """
    with temporary(path, content, durable=durable) as written:
        os.replace(written, path)


def write_exclusive(path: Path, content: str | bytes, *, durable: bool = False) -> bool:
    """Creates `path` with all of its content, unless it is there already.

    Args:
        durable: wait until it would survive a power cut.
    Returns:
        False when it was there: of several writers exactly one gets True.
    Raises:
        OSError: with the path in `filename`, also when the disk is full.
        StoreError: the file system knows no hard links.
    """
    with temporary(path, content, durable=durable) as written:
        try:
            os.link(written, path)
        except FileExistsError:
            # Over a network the answer to a link that was made may get lost, and its
            # repetition fails: the count of links tells.
            return os.stat(written).st_nlink == 2
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
                raise StoreError(
                    f"{path.parent}: the file system knows no hard links, which keep two "
                    "processes from one cell; choose another one with --root"
                ) from error
            raise
    return True


def damage_of_zip(path: Path) -> str | None:
    """What is wrong with a zip file, such as a checkpoint of torch, by its own checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (EOFError, NotImplementedError, ValueError, zipfile.BadZipFile) as error:
        return f"it is torn or no checkpoint ({error})"
    return f"the checksum of its part {broken} is wrong" if broken is not None else None


@contextlib.contextmanager
def written_atomically(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write; it takes the name `path` once the block is done.

    For writers that want a path, such as torch's. If the block raises, nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _gone_afterwards(path) as written:
        yield written
        if written.exists():  # of several devices only the first one writes
            with written.open("rb+") as file:
                os.fsync(file.fileno())
            os.replace(written, path)


@contextlib.contextmanager
def temporary(path: Path, content: str | bytes, *, durable: bool) -> Iterator[Path]:
    """A file beside `path` with the content; gone afterwards."""
    data = content.encode() if isinstance(content, str) else content
    with _gone_afterwards(path) as written:
        try:
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            try:
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            # Writes on a descriptor do not know the path.
            error.filename = str(path)
            raise
        yield written


@contextlib.contextmanager
def _gone_afterwards(path: Path) -> Iterator[Path]:
    # Not `tempfile`: its files are private to the user, and a store may be shared.
    written = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield written
    finally:
        with contextlib.suppress(OSError):
            written.unlink(missing_ok=True)
