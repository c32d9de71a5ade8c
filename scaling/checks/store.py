"""Can runs be kept at the root, by several machines at once, and is there text to train on?"""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

from scaling.checks.check import Check
from scaling.errors import StoreError, describe_os_error

_LITTLE_DISK_BYTES = 5 << 30
_SKEW_SECONDS = 5.0


def check_store(root: Path) -> list[Check]:
    return [*_check_writes(root), _check_disk(root)]


def check_corpus() -> list[Check]:
    from scaling.corpora import CorpusError, read_documents

    try:
        corpus = read_documents("stdlib_text")
    except CorpusError as error:
        what, _, remedy = str(error).rpartition(";")
        return [Check(name="corpus", verdict="warning", found=what, remedy=remedy.strip())]
    n_bytes = sum(len(document.encode()) for document in corpus.documents)
    found = f"stdlib_text {corpus.fingerprint}, {len(corpus.documents)} documents"
    return [Check(name="corpus", verdict="ok", found=f"{found}, {n_bytes / 1e6:.1f} MB")]


def _nearest_folder(root: Path) -> Path:
    """The root, or the folder in which it would be made."""
    root = root.absolute()
    return next(folder for folder in (root, *root.parents) if folder.is_dir())


def _check_writes(root: Path) -> list[Check]:
    """Does what the store does: a link that only one of two writers gets, a rename, a clock."""
    from scaling.claims import server_seconds
    from scaling.files import write_atomic, write_exclusive

    try:
        place = _nearest_folder(root)
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=place) as name:
            folder, path = Path(name), Path(name, "probe")
            first, second = write_exclusive(path, "a"), write_exclusive(path, "b")
            write_atomic(path, "c", durable=True)
            kept = path.read_text()
            skew_seconds = abs(server_seconds(folder) - time.time())
    except StoreError as error:
        what, _, remedy = str(error).partition(";")
        return [Check(name="store", verdict="failed", found=what, remedy=remedy.strip())]
    except OSError as error:
        error.filename = str(root.absolute())
        what, _, remedy = describe_os_error(error).partition(";")
        remedy = remedy.strip() or "choose another place with --root"
        return [Check(name="store", verdict="failed", found=what, remedy=remedy)]
    if (first, second, kept) != (True, False, "c"):
        found = f"{root}: two writers both made the same file, so a cell could be trained twice"
        remedy = "choose a file system with working hard links, with --root"
        return [Check(name="store", verdict="failed", found=found, remedy=remedy)]
    found = f"{root.absolute()} is writable, with hard links and renames"
    answers = [Check(name="store", verdict="ok", found=found)]
    if skew_seconds > _SKEW_SECONDS:
        found = f"the file server's clock is {skew_seconds:.0f} s away from this machine's"
        remedy = "set both by NTP; claims go by the server's clock and still work"
        answers.append(Check(name="clock", verdict="warning", found=found, remedy=remedy))
    return answers


def _check_disk(root: Path) -> Check:
    free = shutil.disk_usage(_nearest_folder(root)).free
    found = f"{free / 2**30:.1f} GiB free at {root.absolute()}"
    if free < _LITTLE_DISK_BYTES:
        remedy = "free some, or choose another place with --root"
        return Check(name="disk", verdict="warning", found=found, remedy=remedy)
    return Check(name="disk", verdict="ok", found=found)
