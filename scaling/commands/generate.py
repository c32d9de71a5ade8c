"""`scaling generate`: text from a trained run, after a prompt or in a gap."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scaling.commands.options import json_option, one_run, root_option

if TYPE_CHECKING:
    from torch import Tensor

    from scaling.evaluate.measurement import Trained
    from scaling.generation import Task
    from scaling.tokenizer import Tokenizer


@click.command(
    epilog="""\b
Examples:
  scaling generate 0123456789abcdef --prompt "def main("
  scaling generate 0123 --prompt "import " --temperature 0.8 --top-p 0.9 --tokens 40
  scaling generate 0123 --infill "def [ ](self):" --tokens 8 --seed 3
  scaling generate 0123 --sampler gibbs --sweeps 8 --show-steps
"""
)
@click.argument("run_id")
@click.option("--prompt", default="", help="What the text begins with.")
@click.option("--infill", metavar="TEXT", help="Text with one gap, [ ], to fill.")
@click.option(
    "--tokens",
    type=click.IntRange(min=1),
    help="How many to write.  [default: as many as there is room for, up to 64]",
)
@click.option("--sampler", metavar="NAME", help="How; see above.  [default: what suits the model]")
@click.option(
    "--temperature",
    type=float,
    default=1.0,
    show_default=True,
    help="Divides the logits; 0 takes the likeliest token.",
)
@click.option("--top-k", type=int, help="Draw from the K likeliest tokens.")
@click.option("--top-p", type=float, help="Draw from the likeliest tokens of this probability.")
@click.option("--steps", type=int, help="Passes of any_order and mask_predict.")
@click.option("--sweeps", type=int, help="Further sweeps of gibbs and metropolis_hastings.")
@click.option("--candidates", type=int, help="Tries of importance.")
@click.option("--energy", type=click.Choice(["normalised", "raw"]), help="Of metropolis_hastings.")
@click.option(
    "--texts",
    "n_texts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many texts.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="One seed, one text.")
@click.option("--show-steps", is_flag=True, help="Print the text after every step.")
@json_option
@root_option
def generate(
    run_id: str,
    prompt: str,
    infill: str | None,
    tokens: int | None,
    sampler: str | None,
    n_texts: int,
    seed: int,
    show_steps: bool,
    as_json: bool,
    root: Path,
    **given: Any,
) -> None:
    """Write text with the trained run RUN_ID (its first digits will do).

    \b
    Samplers of causal models (they stream):
      ancestral            from left to right
      importance           fills a gap: tries from the left, one kept by what follows
    Samplers of masked models:
      any_order            in a random order (masked diffusion)
      left_to_right        from left to right, the rest hidden
      gibbs                each place again and again
      metropolis_hastings  gibbs moves, accepted by the energy of the text
      mask_predict         all at once, then the least confident again

    No model of this suite is trained to end a text: it writes as many tokens as it is asked for,
    within the sequence length that it was trained on. `scaling status SWEEP` lists the runs.
    """
    from scaling.generation import GenerationError, Settings, sampler_for, start
    from scaling.generation.canvas import canvas, split_gap

    if infill is not None and prompt:
        raise GenerationError("--prompt and --infill are both given; put the prompt left of [ ]")
    settings = Settings(**given)
    left, right = (prompt, "") if infill is None else split_gap(infill)
    trained, tokenizer = _load(run_id, root)
    ids_T = canvas(tokenizer, left, right, tokens, trained.spec.seq_len)
    ids_BT = ids_T.expand(n_texts, -1).contiguous()
    name = sampler or sampler_for(trained.spec, ids_BT)
    task, states = start(trained.model, trained.spec, ids_BT, name, settings, seed=seed)
    began = time.perf_counter()
    if as_json:
        final_BT = _last(ids_BT, states)
        facts = {
            "run_id": trained.spec.run_id,
            "sampler": name,
            "seed": seed,
            "settings": dataclasses.asdict(settings),
        }
        print(
            json.dumps(facts | _result(tokenizer, ids_T, final_BT, task, trained, began), indent=1)
        )
    elif show_steps:
        _show_steps(tokenizer, states)
    elif n_texts == 1 and task.reader.predicts_next:
        _stream(tokenizer, ids_T, states)
    else:
        _print_all(tokenizer, _last(ids_BT, states))


def _load(run_id: str, root: Path) -> tuple[Trained, Tokenizer]:
    from scaling.errors import StoreError
    from scaling.evaluate.measurement import load_trained
    from scaling.store import Store
    from scaling.tokenizer_of_run import find_tokenizer

    store = Store(root)
    trained = load_trained(store, one_run(run_id, store.run_ids()))
    tokenizer = find_tokenizer(trained.spec, cache=store.cache)
    if tokenizer is None:
        raise StoreError(
            f"the tokenizer of run {trained.spec.run_id} ({trained.spec.tokenizer_fingerprint}) is "
            f"not in {store.cache}; `scaling run` of its sweep makes it anew"
        )
    return trained, tokenizer


def _last(ids_BT: Tensor, states: Iterator[Tensor]) -> Tensor:
    *_, final_BT = (ids_BT, *states)
    return final_BT


def _stream(tokenizer: Tokenizer, ids_T: Tensor, states: Iterator[Tensor]) -> None:
    """Prints what is given, and every token once it and all before it are there."""
    from scaling.generation.shown import Stream

    stream = Stream(tokenizer)
    n_shown = _print_ready(stream, ids_T, 0)
    for state_BT in states:
        n_shown = _print_ready(stream, state_BT[0], n_shown)
    print(stream.text([], final=True))


def _print_ready(stream: Any, ids_T: Tensor, n_shown: int) -> int:
    from scaling.generation.reader import blanks

    open_T = blanks(ids_T)
    n_ready = int(open_T.int().argmax()) if open_T.any() else len(ids_T)
    print(stream.text(ids_T[n_shown:n_ready].tolist()), end="", flush=True)
    return max(n_shown, n_ready)


def _show_steps(tokenizer: Tokenizer, states: Iterator[Tensor]) -> None:
    from scaling.generation.shown import with_blanks

    for number, state_BT in enumerate(states, start=1):
        for ids in state_BT.tolist():
            print(f"{number:>4}  {with_blanks(tokenizer, ids)}", flush=True)


def _print_all(tokenizer: Tokenizer, ids_BT: Tensor) -> None:
    from scaling.generation.shown import printable

    texts = [printable(tokenizer.decode(ids)) for ids in ids_BT.tolist()]
    print("\n---\n".join(texts))


def _result(
    tokenizer: Tokenizer,
    ids_T: Tensor,
    final_BT: Tensor,
    task: Task,
    trained: Trained,
    began: float,
) -> dict[str, Any]:
    from scaling.generation.reader import blanks

    filled_T = blanks(ids_T)
    texts = [
        {
            "text": tokenizer.decode(ids_T_.tolist()),
            "written": tokenizer.decode(ids_T_[filled_T].tolist()),
        }
        for ids_T_ in final_BT
    ]
    cost = task.reader.cost
    return {
        "texts": texts,
        "cost": {
            "forward_passes": cost.forward_passes,
            "positions": cost.positions,
            "flops": cost.flops(trained.spec),
            "seconds": time.perf_counter() - began,
        },
    }
