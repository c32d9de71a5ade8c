"""`scaling export`: a trained run in the format of `transformers`."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.commands.options import root_option


@click.command(epilog="Example: scaling export 0123456789abcdef exported/decoder-98k")
@click.argument("run_id")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@root_option
def export(run_id: str, directory: Path, root: Path) -> None:
    """Write the trained run RUN_ID to DIR as a model that `transformers` loads.

    Weights, configuration and tokenizer are written; the logits are checked to be the same
    before that. `scaling status SWEEP` lists the runs.
    """
    from scaling.export import export_run
    from scaling.store import Store

    for note in export_run(Store(root).folder(run_id), directory):
        print(note)
