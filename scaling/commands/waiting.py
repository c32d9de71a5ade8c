"""What a user sees while a command works: a spinner on a terminal, lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def waiting(first: str) -> Iterator[Callable[[str], None]]:
    """Gives a function that says what is being done now, on standard error.

    Args:
        first: what is done first; only a terminal shows it.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    if console.is_terminal:
        with console.status(Text(first)) as spinner:
            yield lambda line: spinner.update(Text(line))
        return

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, highlight=False, markup=False)

    yield say
