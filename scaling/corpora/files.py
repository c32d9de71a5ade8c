"""Corpus `files:PATH`: .txt, .jsonl, .jsonl.gz and .parquet; PATH is a file, folder or glob.

A .txt file is one document; a line of JSON and a row of Parquet are one each, in their field
`text`. Files named train.* and validation.* are the split, if there are both; then no other
file is read. Otherwise all documents are split by hash.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from scaling.corpora.documents import Corpus, CorpusError, checked, split_as_given, split_by_hash
from scaling.install import install_command
from scaling.jsonl import read_rows

FIELD = "text"


def read_files(place: str, cache: Path | None = None) -> Corpus:
    """Reads files in the order of their paths.

    Raises:
        CorpusError: nothing is there or nothing readable, or a file is empty or malformed.
    """
    name = f"files:{place}"
    found, ignored = _find(name, place)
    splits = {split: [path for path in found if path.name.split(".")[0] == split]
              for split in ("train", "validation")}  # fmt: skip
    if not (splits["train"] and splits["validation"]):
        return split_by_hash(name, _read_all(found), ignored_files=_listed(ignored))
    chosen = {*splits["train"], *splits["validation"]}
    return split_as_given(
        name,
        _read_all(splits["train"]),
        _read_all(splits["validation"]),
        ignored_files=_listed([*ignored, *(path for path in found if path not in chosen)]),
    )


def files_of(place: str, cache: Path | None = None) -> list[Path] | None:
    """All files in the place, those that are passed over included: a record tells of them."""
    found, ignored = _find(f"files:{place}", place)
    return [*found, *sorted(ignored)]


def read_jsonl(path: Path) -> Iterator[str]:
    """The field `text` of each line of a .jsonl or .jsonl.gz file; blank lines hold none."""
    example = f'{{"{FIELD}": "..."}}'
    for where, row in read_rows(path, error=CorpusError, example=example):
        if not isinstance(row.get(FIELD), str):
            raise CorpusError(
                f"{where} has no string in the field {FIELD!r}; each line is an object such as "
                f"{example}"
            )
        yield checked(row[FIELD], where)


def _read_txt(path: Path) -> Iterator[str]:
    data = path.read_bytes()
    offset, what = data.find(b"\0"), "a NUL byte"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        if offset < 0 or error.start < offset:
            offset, what = error.start, "no UTF-8"
        text = ""
    if offset >= 0:
        raise CorpusError(
            f"{path} is not text: {what} at byte {offset}; remove the file, or convert it to UTF-8"
        )
    yield text


def _read_parquet(path: Path) -> Iterator[str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise CorpusError(
            f"{path} needs the library pyarrow, which is not installed; "
            f"install it with: {install_command('parquet')}"
        ) from error
    try:
        table = pyarrow.parquet.ParquetFile(path)
        if FIELD not in table.schema_arrow.names:
            raise CorpusError(
                f"{path} has no column {FIELD!r}, only {', '.join(table.schema_arrow.names)}; "
                f"rename the column of the text to {FIELD!r}"
            )
        number = 0
        for batch in table.iter_batches(columns=[FIELD]):
            for value in batch.column(0).to_pylist():
                number += 1
                if not isinstance(value, str):
                    raise CorpusError(
                        f"{path}, row {number}: {FIELD!r} is {type(value).__name__}, not a "
                        "string; fill or remove the row"
                    )
                yield value
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(
            f"{path} is no whole Parquet file ({error}); fetch or write it again"
        ) from error


READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    ".txt": _read_txt,
    ".jsonl": read_jsonl,
    ".jsonl.gz": read_jsonl,
    ".parquet": _read_parquet,
}


def _read_all(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if path.stat().st_size == 0:
            raise CorpusError(f"{path} is empty, and each file holds text; remove or fill it")
        yield from READERS[_kind(path) or ""](path)


def _kind(path: Path) -> str | None:
    return next((suffix for suffix in READERS if path.name.endswith(suffix)), None)


def _find(name: str, place: str) -> tuple[list[Path], list[Path]]:
    """Files to read, in order, and files of another kind."""
    root = Path(place).expanduser()
    if place and root.exists():
        matches = [root]
    else:
        matches = [Path(match) for match in glob.glob(str(root), recursive=True)] if place else []
    if not matches:
        raise CorpusError(
            f"corpus={name!r}: no file, folder or glob of that name matches anything in "
            f"{Path.cwd()}; give a path that exists: files:PATH"
        )
    found: set[Path] = set()
    for match in matches:
        found.update(_walk(match) if match.is_dir() else [match])
    readable = sorted((path for path in found if _kind(path)), key=Path.as_posix)
    if not readable:
        raise CorpusError(
            f"corpus={name!r} holds none of the kinds of file that can be read; "
            f"known: {', '.join(READERS)}"
        )
    return readable, [path for path in found if not _kind(path)]


def _walk(folder: Path) -> Iterator[Path]:
    """Files of a folder and its subfolders; hidden ones are not text that someone put there."""
    for parent, subfolders, files in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(parent, name) for name in files if not name.startswith("."))


def _listed(paths: Iterable[Path]) -> tuple[str, ...]:
    return tuple(sorted(path.as_posix() for path in paths))
