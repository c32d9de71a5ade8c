"""Which errors are a user's and get a line, and which are ours and keep their traceback."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaling.errors import SweepError, describe_os_error, user_message
from scaling.recipe import recipe
from scaling.sizes import SIZES
from tests.factories import make_spec


def raised(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_the_suite_s_own_errors_are_a_user_s() -> None:
    assert user_message(raised(lambda: make_spec(n_head=3))) == (
        "d_model=32 is not divisible by n_head=3; the nearest width that is: 33"
    )
    assert user_message(SweepError("two\n  lines")) == "two lines"


def test_a_plain_value_error_counts_when_the_suite_raised_it() -> None:
    line = user_message(raised(lambda: recipe(10, "nothing", 8)))
    assert line is not None
    assert line.startswith("objective='nothing' has no learning-rate rule")


@pytest.mark.parametrize(
    "bug",
    [
        lambda: np.zeros(3).reshape(2),
        lambda: recipe(10, "clm", "x" * 3).batch_tokens + 1,  # type: ignore[arg-type]
        lambda: SIZES["25k"].nothing,  # type: ignore[attr-defined]
        lambda: int("no number"),
    ],
)
def test_a_bug_is_no_message(bug: Callable[[], Any]) -> None:
    assert user_message(raised(bug)) is None


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "free some and run again"),
        (errno.EROFS, "choose a place that can be written with --root"),
        (errno.EACCES, "change its permissions or choose another --root"),
        (errno.ENOENT, "check the path"),
    ],
)
def test_the_system_s_errors_have_path_and_remedy(tmp_path: Path, code: int, remedy: str) -> None:
    place = tmp_path / "file"
    for error in (OSError(code, "No luck", str(place)), OSError(code, "No luck")):
        line = describe_os_error(error, place)
        assert line.startswith(f"{place}: no luck")
        assert line.endswith(remedy)
