"""Opens a file of comma-separated values as people's tools write them, or says what is wrong.

The separator and the decimal sign are read off the file; a table whose rows have more cells than
its header has names is never shifted by a guess.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.errors import AnalysisError

_SEPARATORS = (",", ";", "\t")
# Where a comma separates nothing, one between digits is a decimal sign.
_DECIMAL_COMMA = re.compile(r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*")
# Formats that people have instead of a CSV.
_OTHER_FORMATS = (".json", ".jsonl", ".parquet", ".xlsx", ".xls", ".feather", ".pkl", ".npz")


def open_csv(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The rows of a .csv or .csv.gz, and a note on what was read off the file.

    Raises:
        AnalysisError: the file is missing, damaged or no CSV, or its header does not fit its rows.
    """
    if not path.is_file():
        raise AnalysisError(f"no file or folder {path}; give a sweep folder or a CSV")
    if path.suffix.lower() in _OTHER_FORMATS:
        raise AnalysisError(
            f"{path.name} is no CSV; write its runs as .csv or .csv.gz, one row per run"
        )
    try:
        return _read(path)
    except UnicodeDecodeError as error:
        raise AnalysisError(f"{path.name} is not text in UTF-8 ({error.reason}); save it so") from (
            error
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise AnalysisError(f"{path.name} is no CSV with a header: {reason}") from error
    except (OSError, EOFError) as error:
        raise AnalysisError(f"{path.name} cannot be read ({error}); copy it again") from error


def _read(path: Path) -> tuple[pd.DataFrame, list[str]]:
    line = pd.read_csv(path, sep="\x1f", header=None, nrows=1, dtype=str, quoting=csv.QUOTE_NONE)
    header = str(line.iat[0, 0])
    separator = max(_SEPARATORS, key=header.count)
    _check_names(next(csv.reader([header], delimiter=separator)), path.name)
    raw = pd.read_csv(path, sep=separator)
    notes = []
    if separator != ",":
        decimal = "," if any(map(_has_decimal_commas, raw.items())) else "."
        raw = pd.read_csv(path, sep=separator, decimal=decimal)
        notes = [f"columns are separated by {separator!r}, the decimal sign is {decimal!r}"]
    return _with_own_names(raw, path.name), notes


def _check_names(names: list[str], file: str) -> None:
    twice = [name for name, count in Counter(map(str.strip, names)).items() if name and count > 1]
    if twice:
        raise AnalysisError(f"{file} has several columns {twice[0]!r}; give each a name of its own")


def _has_decimal_commas(column: tuple[object, pd.Series]) -> bool:
    values = column[1].dropna()
    return bool(len(values)) and all(_DECIMAL_COMMA.fullmatch(str(value)) for value in values)


def _with_own_names(raw: pd.DataFrame, file: str) -> pd.DataFrame:
    """Undoes the shift where rows have a cell more than the header has names.

    The first cell of each row then stands in the index. It is the name of a row as R writes it, or
    the last cell is what follows a trailing comma; anything else cannot be told.
    """
    if isinstance(raw.index, pd.RangeIndex):
        return raw
    shifted = raw.reset_index()
    if not isinstance(raw.index, pd.MultiIndex):
        if shifted.iloc[:, -1].isna().all():
            return shifted.iloc[:, :-1].set_axis(raw.columns, axis="columns")
        names_rows = raw.index.dtype == object or pd.api.types.is_string_dtype(raw.index.dtype)
        if names_rows or np.array_equal(raw.index, np.arange(1, len(raw) + 1)):
            return raw.reset_index(drop=True)
    raise AnalysisError(
        f"{file}: the rows have more cells than the header has names; name every column"
    )
