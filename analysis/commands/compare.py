"""`scaling compare`: what may be said about two groups, and what may not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from analysis.commands.say import say
from analysis.commands.source import (
    Columns,
    boot_options,
    find_source,
    json_option,
    open_table,
    source_options,
)

if TYPE_CHECKING:
    from analysis.comparison import Comparison

EPILOG = """\b
Examples:
  scaling compare runs/quickstart --by arch
  scaling compare quickstart --loss bits_per_byte
  scaling compare table.csv --by experiment --reference clm --json
"""


@click.command(epilog=EPILOG)
@source_options
@click.option("--reference", help="Group that the others are compared with.  [default: the first]")
@boot_options
@json_option
def compare(
    source: str,
    root: Path,
    columns: Columns,
    reference: str | None,
    n_boot: int,
    seed: int,
    as_json: bool,
) -> None:
    """Compare how the groups of SOURCE scale, with intervals.

    Losses on different yardsticks, such as a masked and a causal cross-entropy, are never compared
    in level; their exponents are, and bits per byte where both have them.
    """
    from analysis.compare_groups import compare as compare_groups

    table = open_table(find_source(source, root), columns)
    found = compare_groups(table, reference=reference, n_boot=n_boot, seed=seed)
    if as_json:
        print(json.dumps(_to_dict(found), indent=1))
        return
    say(_exponents(found))
    say(found.summary())


def _exponents(found: Comparison) -> str:
    """a by every approach, one column per group."""
    names = list(dict.fromkeys(x.name for arm in found.arms.values() for x in arm.approaches))
    width = max(map(len, names))
    groups = [(group, max(26, len(group))) for group in found.groups]
    head = "exponent a of N* over C".ljust(width)
    lines = ["  ".join([head, *(group.ljust(size) for group, size in groups)]).rstrip()]
    for name in names:
        cells = [_cell(found, group, name).ljust(size) for group, size in groups]
        lines.append("  ".join([name.ljust(width), *cells]).rstrip())
    yardsticks = [found.yardsticks[group].ljust(size) for group, size in groups]
    lines.append("  ".join(["yardstick".ljust(width), *yardsticks]).rstrip())
    lines.append(", ".join(f"{role.upper()} = {found.columns[role]}" for role in ("n", "d", "c")))
    if any(x.doubts for arm in found.arms.values() for x in arm.approaches):
        lines.append("?: in doubt, carries no verdict; `scaling report` says why")
    return "\n".join(lines) + "\n"


def _cell(found: Comparison, group: str, name: str) -> str:
    from analysis.style import printed

    approach = found.arms[group].named(name)
    if approach is None or approach.a is None:
        return "-"
    return f"{printed(approach.a)} ?" if approach.doubts else printed(approach.a)


def _to_dict(found: Comparison) -> dict[str, Any]:
    return {
        "by": found.by,
        "reference": found.reference,
        "yardsticks": found.yardsticks,
        "verdicts": [
            {"sentence": v.sentence, "is_established": v.is_established, "approach": v.approach}
            for v in found.verdicts
        ],
        "differences": _records(found.frame()),
        "exponents": {group: _records(arm.frame()) for group, arm in found.arms.items()},
        "levels_not_compared": found.refusal or None,
        "joint": found.joint.sentence if found.joint else None,
        "missing": found.missing,
        "flags": [{"severity": f.severity, "code": f.code, "message": f.message}
                  for f in found.flags],
    }  # fmt: skip


def _records(frame: Any) -> list[dict[str, Any]]:
    """Rows as JSON: a missing number is null."""
    return json.loads(frame.to_json(orient="records"))  # type: ignore[no-any-return]
