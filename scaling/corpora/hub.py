"""Corpus `hub:NAME`: a Hugging Face data set by name, streamed by the library `datasets`.

NAME may also be a local folder. Options follow a question mark, such as
`hub:allenai/c4?config=en&documents=200000`:

    config     configuration of the data set
    split      split to read, `train` unless given; it is split again by hash, as all corpora are
    field      field of the text, `text` unless given
    documents  read this many and stop, 100000 unless given
    revision   commit of the data set, to have the same text a year from now

What has been streamed is kept under the cache, so that later runs and other machines that share
the cache need no network and read the same text. Delete `<cache>/hub` to fetch it again.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qsl

from scaling.corpora.documents import Corpus, CorpusError, checked, split_by_hash
from scaling.corpora.files import read_jsonl
from scaling.files import write_atomic
from scaling.install import install_command

_DEFAULTS = {"config": "", "split": "train", "field": "text", "documents": "100000", "revision": ""}


def read_hub(place: str, cache: Path | None = None) -> Corpus:
    """Streams a data set, or reads what an earlier call kept of it.

    Raises:
        CorpusError: `datasets` is missing, an option is wrong, or the data set is unreachable.
    """
    name, options = _parse(place)
    limit = int(options["documents"])
    if _folder(name) or cache is None:
        documents = list(_stream(name, options, limit))
    else:
        documents = _kept(_kept_path(cache, name, options), name, options, limit)
    corpus = split_by_hash(f"hub:{place}", documents)
    return dataclasses.replace(corpus, stopped_at=limit if len(documents) == limit else None)


def hub_files(place: str, cache: Path | None = None) -> list[Path] | None:
    """The copy that an earlier call kept; None where there is none."""
    name, options = _parse(place)
    if _folder(name) or cache is None:
        return None
    path = _kept_path(cache, name, options)
    return [path] if path.exists() else None


def _kept_path(cache: Path, name: str, options: dict[str, str]) -> Path:
    key = hashlib.sha256(json.dumps([name, options], sort_keys=True).encode()).hexdigest()[:16]
    return cache / "hub" / f"{key}.jsonl.gz"


def _kept(path: Path, name: str, options: dict[str, str], limit: int) -> list[str]:
    if path.exists():
        try:
            return list(read_jsonl(path))
        except CorpusError:  # a damaged copy is fetched again
            path.unlink(missing_ok=True)
    documents = list(_stream(name, options, limit))
    lines = "".join(json.dumps({"text": document}) + "\n" for document in documents)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, gzip.compress(lines.encode(), compresslevel=1, mtime=0))
    return documents


def _folder(name: str) -> Path | None:
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else None


def _parse(place: str) -> tuple[str, dict[str, str]]:
    name, _, query = place.partition("?")
    if not name:
        raise CorpusError("corpus='hub:' names no data set; give hub:NAME or hub:FOLDER")
    given = dict(parse_qsl(query, keep_blank_values=True))
    for key, value in given.items():
        if key not in _DEFAULTS or not value:
            raise CorpusError(
                f"corpus='hub:{place}': option {key}={value!r} is unknown or blank; "
                f"known: {', '.join(_DEFAULTS)}"
            )
    options = _DEFAULTS | given
    if not options["documents"].isdecimal() or int(options["documents"]) < 1:
        raise CorpusError(
            f"corpus='hub:{place}': documents={options['documents']!r} is no positive whole "
            "number; try documents=100000"
        )
    return name, options


def _stream(name: str, options: dict[str, str], limit: int) -> Iterator[str]:
    try:
        import datasets
    except ImportError as error:
        raise CorpusError(
            f"corpus='hub:{name}' needs the library datasets, which is not installed; "
            f"install it with: {install_command('hub')}"
        ) from error
    try:
        rows = datasets.load_dataset(
            str(_folder(name) or name),
            options["config"] or None,
            split=options["split"],
            revision=options["revision"] or None,
            streaming=True,
        )
        for number, row in enumerate(islice(rows, limit), 1):
            yield _text(name, number, row, options["field"])
    except CorpusError:
        raise
    # The library raises kinds of its own and of each of its back ends.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise CorpusError(
            f"corpus='hub:{name}' cannot be read ({type(error).__name__}: {reason}); check the "
            "name, the options config, split and revision, and the network"
        ) from error


def _text(name: str, number: int, row: dict[str, object], field: str) -> str:
    text = row.get(field)
    if not isinstance(text, str):
        raise CorpusError(
            f"corpus='hub:{name}', row {number}: no string in the field {field!r}; "
            f"the fields are {', '.join(row)}: choose one with ?field=NAME"
        )
    return checked(text, f"corpus='hub:{name}', row {number}")
