"""The corpus `hub`: the library `datasets` on local folders, and the copy that is kept."""

import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import pytest

from scaling.corpora import CorpusError, hub, read_documents
from scaling.corpora.documents import split_by_hash
from tests.test_corpora import TEXTS, jsonl, write, write_parquet


@pytest.fixture(autouse=True)
def no_home_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_hub_streams_a_folder(kind: str, tmp_path: Path) -> None:
    if kind == "jsonl":
        write(tmp_path / "set" / "train.jsonl", jsonl(TEXTS))
        place = f"hub:{tmp_path / 'set'}"
    else:
        write_parquet(tmp_path / "set" / "train-0.parquet", body=TEXTS)
        place = f"hub:{tmp_path / 'set'}?field=body"
    corpus = read_documents(place, cache=tmp_path / "cache")
    assert corpus.fingerprint == split_by_hash("", TEXTS).fingerprint
    assert corpus.stopped_at is None
    assert not (tmp_path / "cache").exists()


def test_hub_stops_at_the_limit(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", jsonl(TEXTS))
    corpus = read_documents(f"hub:{tmp_path}?documents=100")
    assert corpus.fingerprint == split_by_hash("", TEXTS[:100]).fingerprint
    assert corpus.stopped_at == 100


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?split=nothing", r"cannot be read \(ValueError: Bad split: nothing"),
        ("?config=nothing", r"cannot be read \(ValueError: BuilderConfig 'nothing' not found"),
        ("?field=body", r"row 1: no string in the field 'body'; the fields are id, text: choose"),
    ],
)
def test_hub_options_that_fit_nothing(query: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", jsonl(TEXTS))
    with pytest.raises(CorpusError, match=message):
        read_documents(f"hub:{tmp_path}{query}")


def test_hub_without_its_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(CorpusError, match=r"not installed; install it with: .*\[hub\]'"):
        read_documents(f"hub:{tmp_path}")


def test_hub_keeps_what_it_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []

    def stream(name: str, options: dict[str, str], limit: int) -> Iterator[str]:
        fetched.append((name, options["config"], limit))
        return iter(TEXTS)

    monkeypatch.setattr(hub, "_stream", stream)
    corpora = [read_documents("hub:someone/set?config=en", cache=tmp_path) for _ in range(3)]
    assert {corpus.fingerprint for corpus in corpora} == {split_by_hash("", TEXTS).fingerprint}
    assert fetched == [("someone/set", "en", 100_000)]

    # Other options are another text; a torn copy is fetched again.
    read_documents("hub:someone/set?config=de", cache=tmp_path)
    for path in (tmp_path / "hub").iterdir():
        path.write_bytes(path.read_bytes()[:-20])
    assert read_documents("hub:someone/set?config=en", cache=tmp_path).train == corpora[0].train
    assert len(fetched) == 3


def test_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"corpus='hub:no_such_set' cannot be read \(Conn"):
        read_documents("hub:no_such_set", cache=tmp_path)
