"""The examples of a task: JSON Lines on disk, or a data set of the Hugging Face hub.

A place is a folder with train, validation and test as .jsonl or .jsonl.gz, or `hub:NAME`, or
`hub:NAME/CONFIG` for a data set of two-part name with configurations. The fields are those that
the kind of task reads; the columns of SQuAD and of class-labelled sets of the hub are understood.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from scaling import jsonl
from scaling.errors import SweepError
from scaling.install import install_command

SPLITS = ("train", "validation", "test")
HUB = "hub:"
_EXAMPLE = '{"text": "A cat.", "label": 1}'

Row = Mapping[str, Any]


class TaskDataError(ValueError):
    """Examples that do not serve; the message gives the place, the rule and the remedy."""


def data_name(place: str) -> str:
    """What tables call the data: the folder's name, or the hub's."""
    return place.removeprefix(HUB) if place.startswith(HUB) else _folder(place).name


@lru_cache(maxsize=4)
def data_fingerprint(place: str) -> str:
    """The first 16 hex digits of SHA-256 over the content of all splits.

    Raises:
        TaskDataError: a split is missing or unreadable.
    """
    digest = hashlib.sha256()
    for split, rows in read_rows(place).items():
        digest.update(json.dumps([split, rows], sort_keys=True, ensure_ascii=False).encode())
    return digest.hexdigest()[:16]


@lru_cache(maxsize=4)
def read_rows(place: str) -> dict[str, list[Row]]:
    """split -> its rows, in the order of the file.

    Raises:
        TaskDataError: a split is missing or empty, or a line is no JSON object.
    """
    if place.startswith(HUB):
        return _read_hub(place.removeprefix(HUB))
    folder = _folder(place)
    return {split: _read_jsonl(_file(folder, split)) for split in SPLITS}


def where_is(place: str, split: str, number: int) -> str:
    """Where the example `number` of a split stands, counted from 0: its file and line."""
    if place.startswith(HUB):
        return f"{place}, example {number} of {split}"
    path = _file(_folder(place), split)
    rows = jsonl.read_rows(path, error=TaskDataError, example=_EXAMPLE)
    return next(itertools.islice((where for where, _ in rows), number, None))


def _folder(place: str) -> Path:
    return Path(os.path.abspath(Path(place).expanduser()))


def _file(folder: Path, split: str) -> Path:
    for suffix in (".jsonl.gz", ".jsonl"):
        if (path := folder / f"{split}{suffix}").is_file():
            return path
    raise TaskDataError(
        f"data={folder}: there is no {split}.jsonl or {split}.jsonl.gz; give a folder that has "
        f"{', '.join(SPLITS)}"
    )


def _read_jsonl(path: Path) -> list[Row]:
    found = jsonl.read_rows(path, error=TaskDataError, example=_EXAMPLE)
    rows: list[Row] = [row for _, row in found]
    if not rows:
        raise TaskDataError(f"{path} is empty; each line is an example")
    return rows


def _read_hub(name: str) -> dict[str, list[Row]]:
    try:
        import datasets
    except ImportError as error:
        raise TaskDataError(
            f"data='hub:{name}' needs the library datasets, which is not installed; "
            f"install it with: {install_command('hub')}"
        ) from error
    folder = Path(name).expanduser()
    parts = name.split("/")
    path, config = (str(folder), None) if folder.is_dir() else ("/".join(parts[:2]), None)
    if len(parts) > 2 and not folder.is_dir():
        config = "/".join(parts[2:])
    try:
        found = datasets.load_dataset(path, config)
        splits = {split: found[split] for split in SPLITS}
        return {split: [_plain(row, rows.features) for row in rows]
                for split, rows in splits.items()}  # fmt: skip
    # The library raises kinds of its own and of each of its back ends.
    except Exception as error:
        raise TaskDataError(
            f"data='hub:{name}' cannot be read ({type(error).__name__}: "
            f"{' '.join(str(error).split())}); it needs the splits {', '.join(SPLITS)}: check the "
            "name and the network, or write the splits to a folder as .jsonl"
        ) from error


def _plain(row: Mapping[str, Any], features: Mapping[str, Any]) -> Row:
    """A row of the hub with the fields that files have: names of tags, answers with a start."""
    plain = dict(row)
    for ids_field in ("ner_tags", "tags"):
        kind = getattr(features.get(ids_field), "feature", None)
        if kind is not None and hasattr(kind, "int2str"):
            plain["tags"] = kind.int2str(row[ids_field])
    answers = row.get("answers")
    if isinstance(answers, Mapping) and "answer_start" in answers:
        plain["answers"] = [
            {"text": text, "start": start}
            for text, start in zip(answers["text"], answers["answer_start"], strict=True)
        ]
    return plain


def field_of(row: Row, name: str, kind: type[Any] | tuple[type[Any], ...], task: str) -> Any:
    """A field of an example, checked.

    Raises:
        TaskDataError: it is missing or of another type.
    """
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, kind):
        names = [k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,))]
        raise TaskDataError(
            f"example {row.get('id', '?')!r}: {task} needs the field {name!r} of type "
            f"{' or '.join(names)}, and it is {value!r:.60}; choose another task, or mend the data"
        )
    return value


def check_place(place: str | None) -> str:
    """Raises SweepError where no data are named."""
    if not place:
        raise SweepError(
            "transfer needs data; give data=FOLDER with train, validation and test as .jsonl or "
            ".jsonl.gz, or data=hub:NAME"
        )
    return place
