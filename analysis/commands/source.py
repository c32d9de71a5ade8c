"""What all commands share: SOURCE, the columns of a CSV, and how a table is opened from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from analysis.table import Table

Command = TypeVar("Command", bound=Callable[..., Any])

# Below this the ends of a 95 % interval rest on two or three draws.
MIN_BOOT = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """The user's choice of columns and rows; None leaves a role to be recognised by name."""

    by: str | None
    n: str | None
    d: str | None
    c: str | None
    loss: str | None
    where: tuple[str, ...]


def source_options(command: Command) -> Command:
    """SOURCE or --from, --root, and the columns: as `source`, `root`, `columns`."""

    def call(*, source: str | None, address: str | None, by: str | None, n: str | None,
             d: str | None, c: str | None, loss: str | None, where: tuple[str, ...],
             **others: Any) -> Any:  # fmt: skip
        columns = Columns(by=by, n=n, d=d, c=c, loss=loss, where=where)
        return command(source=_one_of(source, address), columns=columns, **others)

    call.__name__, call.__doc__ = command.__name__, command.__doc__
    call.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    wrapped: Any = call
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


_OPTIONS = (
    click.argument("source", required=False),
    click.option("--from", "address", metavar="wandb:ENTITY/PROJECT[/SWEEP]",
                 help="Instead of SOURCE: runs on a W&B server, read with their full history."),
    click.option(
        "--root", type=click.Path(path_type=Path, file_okay=False), default=Path("runs"),
        envvar="SCALING_ROOT", show_default=True,
        help="Where a sweep given by its bare name lies.",
    ),
    click.option("--by", "--group", metavar="COL",
                 help="Column of the groups, or a setting that differs, such as seed or mask_rate; "
                 "several joined by a comma.  [default: the arms]"),
    click.option("--n", metavar="COL", help="Column of N, such as params_non_embedding."),
    click.option("--d", metavar="COL", help="Column of D, the training tokens."),
    click.option("--c", metavar="COL", help="Column of C, the FLOPs, such as train_flops_6nd."),
    click.option("--loss", metavar="COL",
                 help="Column or term of the loss, bits_per_byte, or excess over a known optimum.  "
                 "[default: the token loss]"),
    click.option("--where", multiple=True, metavar="COL=VALUE",
                 help="Only these rows of a CSV; may be given several times."),
)  # fmt: skip


def boot_options(command: Command) -> Command:
    """--n-boot and --seed."""
    command = click.option("--seed", default=0, show_default=True, help="Of the bootstrap.")(
        command
    )
    return click.option(
        "--n-boot", type=click.IntRange(min=MIN_BOOT), default=1000, show_default=True,
        help="Bootstrap draws behind the intervals.",
    )(command)  # fmt: skip


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")(command)


def _one_of(source: str | None, address: str | None) -> str:
    if source is not None and address is not None:
        raise click.UsageError("both SOURCE and --from are given; drop one")
    if address is not None and not any(map(address.startswith, _readers())):
        raise click.UsageError(f"--from {address!r} is no address; write wandb:ENTITY/PROJECT")
    if source is None and address is None:
        raise click.UsageError("Missing argument 'SOURCE'")
    return str(source or address)


def _readers() -> dict[str, Callable[[str, Path], Path]]:
    """Prefix of an address -> what makes a local folder of it; whoever calls us supplies them."""
    context = click.get_current_context(silent=True)
    return (context.find_root().obj or {}).get("readers", {}) if context else {}


def find_source(source: str, root: Path) -> Path:
    """The folder or file that SOURCE names.

    Raises:
        AnalysisError: neither it nor ROOT/SOURCE is there.
    """
    from analysis.errors import AnalysisError

    for prefix, read in _readers().items():
        if source.startswith(prefix):
            return read(source, root)
    for path in (Path(source), root / source):
        if path.is_file() or (path / "cells.json").is_file():
            return path
    known = sorted(path.parent.name for path in root.glob("*/cells.json"))
    listed = f"; {root} holds {', '.join(known)}" if known else f"; {root} holds no sweep"
    raise AnalysisError(f"no sweep folder, sweep name or CSV {source!r}{listed}")


def open_table(path: Path, columns: Columns) -> Table:
    """Reads and checks the table, in the conventions that were asked for."""
    from analysis.table import load_table

    loss = columns.loss or "main"
    roles = {role: getattr(columns, role) for role in ("n", "d", "c") if getattr(columns, role)}
    if path.is_dir():
        _refuse_where(columns)
        table = load_table(path, loss=loss).with_columns(**roles)
        return table.grouped_by(columns.by) if columns.by else table
    if columns.by:
        roles["group"] = columns.by
    return load_table(path, columns=roles, loss=loss, where=dict(_pairs(columns.where)))


def _refuse_where(columns: Columns) -> None:
    from analysis.errors import AnalysisError

    if columns.where:
        raise AnalysisError("--where chooses rows of a CSV; a sweep is taken whole")


def _pairs(where: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    from analysis.errors import AnalysisError

    for text in where:
        column, equals, value = text.partition("=")
        if not equals:
            raise AnalysisError(f"--where {text!r} is not COL=VALUE; write --where corpus=c4")
        yield column, value


def groups_of(table: Table) -> dict[str, Table]:
    """Each group by itself: laws are never fitted across yardsticks."""
    if not table.groups:
        return {"all runs": table}
    return {str(group): table.select(group=group) for group in table.groups}
