"""`scaling export`: a trained run in the format of `transformers`."""

from __future__ import annotations

from pathlib import Path

import click

from scaling.commands.options import one_run, root_option


@click.command(epilog="Example: scaling export 0123456789abcdef exported/decoder-98k")
@click.argument("run_id")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@root_option
def export(run_id: str, directory: Path, root: Path) -> None:
    """Write a trained run to DIR as a model that `transformers` loads.

    The first digits of its RUN_ID will do. Weights, configuration and tokenizer are written;
    the logits are checked to be the same before that. `scaling status SWEEP` lists the runs.
    """
    import torch

    from scaling.evaluate.measurement import load_trained
    from scaling.export import export_run
    from scaling.store import Store

    store = Store(root)
    chosen = one_run(run_id, store.run_ids())
    for note in export_run(load_trained(store, chosen, device=torch.device("cpu")), directory):
        print(note)
