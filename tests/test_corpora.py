"""Corpora: what is read, in which order, how it is split, and what bad input is told."""

import gzip
import hashlib
import json
import sysconfig
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from scaling.corpora import CORPORA, CorpusError, read_documents
from scaling.corpora.documents import in_validation, split_by_hash

TEXTS = [f"Document {number}.\nIts second line, café." for number in range(120)]


def jsonl(texts: list[str]) -> bytes:
    return "".join(json.dumps({"id": n, "text": t}) + "\n" for n, t in enumerate(texts)).encode()


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_parquet(path: Path, **columns: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    return path


# The split


def test_validation_is_the_lowest_twentieth_of_the_hashes() -> None:
    # 5 % of 256 is 12.8, so first bytes up to 0x0B are validation and from 0x0D on train.
    assert in_validation(b"\x0c\xcc" + b"\0" * 30)
    assert not in_validation(b"\x0c\xcd" + b"\0" * 30)


def test_documents_part_by_the_hash_of_their_content() -> None:
    corpus = split_by_hash("x", TEXTS)
    for text in TEXTS:
        assert in_validation(hashlib.sha256(text.encode()).digest()) == (text in corpus.validation)
    assert corpus.train == tuple(text for text in TEXTS if text in corpus.train)
    many = split_by_hash("x", map(str, range(20_000)))
    # Four standard deviations of a binomial count.
    assert abs(len(many.validation) - 1000) < 4 * (20_000 * 0.05 * 0.95) ** 0.5


def test_copies_fall_on_one_side_and_new_documents_move_none() -> None:
    corpus, twice = split_by_hash("x", TEXTS), split_by_hash("x", [*TEXTS, *TEXTS, "more"])
    assert twice.validation == corpus.validation * 2
    assert twice.train == corpus.train * 2 + ("more",)
    assert not set(twice.train) & set(twice.validation)


def test_empty_documents_are_dropped_and_counted() -> None:
    corpus = split_by_hash("x", ["", *TEXTS, " \n\t"])
    assert corpus.n_empty == 2
    assert corpus.fingerprint == split_by_hash("y", TEXTS).fingerprint


def test_fingerprint_is_of_content_order_and_split() -> None:
    fingerprints = [
        split_by_hash("x", texts).fingerprint
        for texts in (TEXTS, TEXTS[::-1], TEXTS[:-1], [*TEXTS, TEXTS[0]])
    ]
    assert len(set(fingerprints)) == 4


def test_split_without_a_document() -> None:
    with pytest.raises(CorpusError, match="none of its 2 documents falls into the validation spl"):
        split_by_hash("x", ["a", "b"])


# stdlib_text


def test_stdlib_text_is_the_modules_of_this_python() -> None:
    corpus = read_documents("stdlib_text")
    again = read_documents("stdlib_text")
    assert (again.fingerprint, again.documents) == (corpus.fingerprint, corpus.documents)
    assert Path(json.decoder.__file__).read_bytes().decode() in corpus.documents
    assert Path(pytest.__file__).read_bytes().decode() not in corpus.documents
    n_bytes = sum(len(document.encode()) for document in corpus.documents)
    assert 5e6 < n_bytes < 30e6


def test_stdlib_text_leaves_out_what_is_not_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, text in enumerate(TEXTS):
        write(tmp_path / f"package{number % 3}" / f"m{number:03}.py", text)
    for folder in ("test", "site-packages/x", "package1/tests", "package1/__pycache__"):
        write(tmp_path / folder / "left_out.py", "left out")
    write(tmp_path / "notes.txt", "left out")
    write(tmp_path / "package0" / "__init__.py", "")
    write(tmp_path / "package2" / "latin.py", "# café".encode("latin-1"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    corpus = read_documents("stdlib_text")
    in_order = [*TEXTS[0::3], *TEXTS[1::3], *TEXTS[2::3]]
    assert corpus.train == tuple(text for text in in_order if text in corpus.train)
    assert sorted(corpus.documents) == sorted(TEXTS)
    assert (corpus.n_empty, corpus.ignored_files) == (1, ("package2/latin.py",))


def test_stdlib_text_in_another_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(
        CorpusError, match=r"holds no \.py files.*give text of your own: files:PATH"
    ):
        read_documents("stdlib_text")


# files


@pytest.mark.parametrize("kind", ["txt", "jsonl", "jsonl.gz", "parquet", "glob", "nested"])
def test_all_kinds_of_files_give_the_same_documents(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "corpus"
    if kind == "jsonl":
        place = write(place / "x.jsonl", jsonl(TEXTS))
    elif kind == "jsonl.gz":
        place = write(place / "x.jsonl.gz", gzip.compress(jsonl(TEXTS)))
    elif kind == "parquet":
        place = write_parquet(place / "x.parquet", text=TEXTS, id=list(range(120)))
    elif kind == "glob":
        write(place / "a" / "x.jsonl", jsonl(TEXTS[:50]))
        write(place / "b" / "x.jsonl", jsonl(TEXTS[50:]))
        write(place / "c" / "y.jsonl", jsonl(["not this one"]))
        place = place / "*" / "x.*"
    else:
        for number, text in enumerate(TEXTS):
            folder = f"{number // 50}" if kind == "nested" else ""
            write(place / folder / f"{number:03}.txt", text)
    corpus = read_documents(f"files:{place}")
    expected = split_by_hash("", TEXTS)
    assert (corpus.train, corpus.validation) == (expected.train, expected.validation)
    assert corpus.fingerprint == expected.fingerprint
    assert corpus.split == "content_hash"


def test_train_and_validation_files_are_the_split(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl.gz", gzip.compress(jsonl(TEXTS[:90])))
    write(tmp_path / "validation.jsonl", jsonl(TEXTS[88:100]))
    write(tmp_path / "test.jsonl", jsonl(["held out"]))
    write(tmp_path / "train_extra.jsonl", jsonl(["apart"]))
    write(tmp_path / "books.tsv", "a\tb\n")
    write(tmp_path / ".hidden.txt", "x")
    corpus = read_documents(f"files:{tmp_path}")
    assert (corpus.train, corpus.validation) == (tuple(TEXTS[:90]), tuple(TEXTS[88:100]))
    assert corpus.split == "files"
    assert corpus.n_validation_in_train == 2
    ignored = [str(Path(path).relative_to(tmp_path)) for path in corpus.ignored_files]
    assert ignored == ["books.tsv", "test.jsonl", "train_extra.jsonl"]


def test_text_is_kept_as_it_is(tmp_path: Path) -> None:
    texts = ["\ufeffone\r\ntwo\rthree\u2028four\n\n", *TEXTS]
    write(tmp_path / "a.txt", texts[0])
    write(tmp_path / "b.jsonl", b"\n" + jsonl(TEXTS) + b"  \n")
    assert sorted(read_documents(f"files:{tmp_path}").documents) == sorted(texts)


BAD_FILES: dict[str, tuple[str, bytes, str]] = {
    "empty": ("a.txt", b"", r"a\.txt is empty.*remove or fill it"),
    "nul": ("a.txt", b"text\0", r"a\.txt is not text: a NUL byte at byte 4; remove the file"),
    "latin-1": ("a.txt", b"caf\xe9 \0", r"a\.txt is not text: no UTF-8 at byte 3"),
    "no json": ("a.jsonl", b'{"text": "a"}\n{"text": \n', r"a\.jsonl, line 2 is not JSON \(Exp"),
    "no text": ("a.jsonl", b'{"body": "a"}\n', r"a\.jsonl, line 1 has no string in the field 'te"),
    "number": ("a.jsonl", b'\n{"text": 3}\n', r"a\.jsonl, line 2 has no string"),
    "list": ("a.jsonl", b'["text"]\n', r"a\.jsonl, line 1 is no object; each line is one such as"),
    "bytes": ("a.jsonl", b'{"text": "\xff"}\n', r"a\.jsonl, line 1: byte 10 of the line is not U"),
    "surrogate": ("a.jsonl", b'{"text": "a\\ud800"}', r"line 1: character 1 of the text is"),
    "torn gzip": ("a.jsonl.gz", gzip.compress(jsonl(TEXTS))[:-9], r"a\.jsonl\.gz breaks off after"),
    "no gzip": ("a.jsonl.gz", b"text", r"a\.jsonl\.gz breaks off after line 0: it is no whole gz"),
    "no parquet": ("a.parquet", b"PAR1", r"a\.parquet is no whole Parquet file"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD_FILES.values(), ids=BAD_FILES)
def test_bad_file(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    place = write(tmp_path / name, content)
    with pytest.raises(CorpusError, match=message) as caught:
        read_documents(f"files:{place}")
    assert "\n" not in str(caught.value)


def test_bad_parquet(tmp_path: Path) -> None:
    place = write_parquet(tmp_path / "a.parquet", body=["a"], id=[1])
    with pytest.raises(CorpusError, match=r"no column 'text', only body, id; rename the column"):
        read_documents(f"files:{place}")
    place = write_parquet(tmp_path / "a.parquet", text=["a", None])
    with pytest.raises(CorpusError, match=r"a\.parquet, row 2: 'text' is NoneType, not a string"):
        read_documents(f"files:{place}")


def test_split_file_without_text(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", "text")
    write(tmp_path / "validation.txt", "\n")
    with pytest.raises(CorpusError, match="its validation files hold no document with text"):
        read_documents(f"files:{tmp_path}")


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ("stdlib", r"corpus='stdlib' is unknown; did you mean 'stdlib_text'\? known: stdlib_text,"),
        ("tests", r"corpus='tests' is unknown; did you mean 'files:tests'\? known: stdlib_text,"),
        ("wikipedia", r"corpus='wikipedia' is unknown; known: stdlib_text, files:PATH, hub:NAME"),
        ("stdlib_text:x", "stdlib_text takes no place; write stdlib_text, or files:x"),
        ("files", "no file, folder or glob of that name matches"),
        ("files:/nowhere/*.txt", r"corpus='files:/nowhere/\*\.txt': no file, folder or glob"),
        ("hub:", "names no data set; give hub:NAME"),
        ("hub:x?documents=-1", "documents='-1' is no positive whole number"),
        ("hub:x?name=y", "option name='y' is unknown or blank; known: config, split, field"),
    ],
)
def test_corpus_that_is_not_there(corpus: str, message: str) -> None:
    with pytest.raises(CorpusError, match=message):
        read_documents(corpus)


def test_folder_of_other_files(tmp_path: Path) -> None:
    write(tmp_path / "a.pdf", "x")
    with pytest.raises(CorpusError, match=r"none of the kinds of file .* known: \.txt, \.jsonl"):
        read_documents(f"files:{tmp_path}")


def test_message_for_an_unknown_corpus_names_all() -> None:
    with pytest.raises(CorpusError) as caught:
        read_documents("nonsense")
    assert all(kind in str(caught.value) for kind in CORPORA)


def test_textbooks(shared_data: Path) -> None:
    """The counts of their README."""
    corpus = read_documents(f"files:{shared_data / 'textbooks'}")
    assert (len(corpus.train), len(corpus.validation)) == (2372, 128)
    assert len("\n\n".join(corpus.train).encode()) == 26_048_959
    assert (corpus.n_empty, corpus.split) == (0, "files")
    assert [Path(path).name for path in corpus.ignored_files] == ["books.tsv"]
