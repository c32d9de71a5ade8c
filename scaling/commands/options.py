"""Options that several commands take, and how a sweep is opened from them."""

from __future__ import annotations

import contextlib
import shlex
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scaling.compiling import CompileSwitch
from scaling.engines import ENGINES
from scaling.split import Strategy

if TYPE_CHECKING:
    from scaling.resolve import TextLoader
    from scaling.store import Store
    from scaling.sweep import Sweep

Command = TypeVar("Command", bound=Callable[..., Any])

WANDB_MODES = ("offline", "online", "disabled")


def root_option(command: Command) -> Command:
    return click.option(
        "--root",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("runs"),
        envvar="SCALING_ROOT",
        show_default=True,
        help="The store of runs; may lie on a shared file system.",
    )(command)


def sweep_options(command: Command) -> Command:
    """SWEEP, --root, --set, --name and --workers."""
    for option in (
        click.option(
            "--workers",
            type=click.IntRange(min=1),
            help="Cells at a time.  [default: one per GPU, else one per core]",
        ),
        click.option("--name", help="Name the sweep otherwise than its file does."),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Replace a parameter: VALUE is YAML, a list is a grid, null takes it out.",
        ),
        root_option,
        click.argument("sweep"),
    ):
        command = option(command)
    return command


def wandb_option(command: Command) -> Command:
    return click.option(
        "--wandb",
        "wandb_mode",
        type=click.Choice(WANDB_MODES),
        help="Where W&B writes.  [default: WANDB_MODE, else offline]",
    )(command)


def split_options(command: Command) -> Command:
    """--devices, --strategy and --micro-batch; none of them changes a result."""
    for option in (
        click.option(
            "--micro-batch",
            type=click.IntRange(min=1),
            help="Sequences that a device takes at a time, to save memory; gradients add up to "
            "those of the whole batch.  [default: its whole share]",
        ),
        click.option(
            "--strategy",
            type=click.Choice(typing.get_args(Strategy)),
            default="ddp",
            show_default=True,
            help="Keep the whole model on each device (ddp) or a share of it (fsdp).",
        ),
        click.option(
            "--devices",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="GPUs, or processes, that each cell is trained on together.",
        ),
    ):
        command = option(command)
    return command


def compile_option(command: Command) -> Command:
    return click.option(
        "--compile",
        "compile_switch",
        type=click.Choice(typing.get_args(CompileSwitch)),
        default="auto",
        envvar="SCALING_COMPILE",
        show_default=True,
        help="Train compiled steps: of shapes that train for long (auto), of all, or of none. "
        "Losses differ by rounding.",
    )(command)


def engine_options(command: Command) -> Command:
    """--engine and --engine-option; the latter as `settings_of_engine`."""
    for option in (
        click.option(
            "--engine-option",
            "settings_of_engine",
            multiple=True,
            metavar="KEY=VALUE",
            help="What the engine is told, such as the address of a cluster.",
        ),
        click.option(
            "--engine",
            type=click.Choice(list(ENGINES)),
            default="local",
            show_default=True,
            help="Where the cells are trained.",
        ),
    ):
        command = option(command)
    return command


def parse_engine_options(settings: tuple[str, ...]) -> dict[str, str]:
    """`KEY=VALUE` settings as a dict; raises EngineError for one that is not."""
    from scaling.errors import EngineError

    options = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise EngineError(
                f"--engine-option {setting!r} is not KEY=VALUE; write --engine-option address=auto"
            )
        options[key] = value
    return options


def price_option(command: Command) -> Command:
    return click.option(
        "--price-per-device-hour",
        "price",
        metavar="PRICE",
        help="A number, or a number and a unit such as '2.5 EUR'; replaces that of the sweep. A "
        "device is what one worker holds: a GPU, or its share of the processors.",
    )(command)


def json_option(command: Command) -> Command:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for a script.")(command)


def open_sweep(
    store: Store,
    sweep: str,
    settings: tuple[str, ...],
    name: str | None,
    say: Callable[[str], None],
) -> Sweep:
    """Reads a sweep by path or by bare name, with the parameters of `--set`.

    Args:
        say: told what is read of its text where that takes long.
    """
    from scaling.sweep import expand
    from scaling.sweep_file import find_sweep

    return expand(
        find_sweep(sweep), text_loader(store, say), overrides=parse_settings(settings), name=name
    )


def text_loader(store: Store, say: Callable[[str], None]) -> TextLoader:
    from scaling.text import Text, load_text

    def load(corpus: str, tokenizer: str, vocab_size: int | None) -> Text:
        return load_text(
            corpus=corpus,
            tokenizer=tokenizer,
            vocab_size=vocab_size,
            cache=store.cache,
            say=say,
        )

    return load


def known_sweep(store: Store, sweep: str) -> str:
    """The name under which the store knows a sweep, given as name or as file."""
    from scaling.sweep_file import find_sweep, read_config

    if sweep in store.sweeps():
        return sweep
    if Path(sweep).is_file():
        path = find_sweep(sweep)
        return str(read_config(path)[0].get("name") or path.stem)
    store.sweep_cells(sweep)  # says which names there are
    return sweep


def one_sweep(store: Store, sweep: str | None) -> str:
    """The name of `sweep`; without one, of the only sweep that the store holds.

    Raises:
        click.UsageError: the store holds none or several.
    """
    if sweep is not None:
        return known_sweep(store, sweep)
    known = store.sweeps()
    if len(known) != 1:
        raise click.UsageError(f"name a SWEEP; known: {', '.join(known) or 'none yet'}")
    return known[0]


def one_run(given: str, run_ids: Iterable[str]) -> str:
    """The run id that is `given` or begins with it; raises StoreError unless it is exactly one."""
    from scaling.errors import StoreError

    known = list(dict.fromkeys(run_ids))
    if not known:
        raise StoreError("the store holds no cell; give the folder of another with --root")
    found = [run_id for run_id in known if run_id.startswith(given)]
    if len(found) == 1 and given:
        return found[0]
    if not found:
        raise StoreError(f"no run id begins with {given!r}; `scaling status SWEEP` lists them")
    listed = ", ".join(found[:4]) + (", ..." if len(found) > 4 else "")
    raise StoreError(f"{len(found)} run ids begin with {given!r}: {listed}; give more digits")


def run_again(store: Store, name: str, given: str | None = None) -> str:
    """The command that goes on with the sweep `name` of the store.

    Args:
        given: how the user named the sweep, where that may have been its file.
    """
    from scaling.errors import SweepError
    from scaling.sweep_file import find_sweep, read_config

    path = store.sweep_folder(name) / "sweep.yaml"
    # Only a file that has not changed since stands for the same cells.
    with contextlib.suppress(SweepError, OSError):
        own = find_sweep(given or name)
        if own.read_bytes() == path.read_bytes():
            path = Path(given or name)
    words = ["scaling", "run", str(path)]
    with contextlib.suppress(SweepError, OSError):
        if (read_config(find_sweep(str(path)))[0].get("name") or path.stem) != name:
            words += ["--name", name]
    if store.root != Path("runs"):
        words += ["--root", str(store.root)]
    return shlex.join(words)


def parse_settings(settings: Iterable[str]) -> dict[str, Any]:
    """What `--set KEY=VALUE` gives, VALUE read as YAML; raises SweepError for one that is not."""
    return dict(map(_setting, settings))


def _setting(setting: str) -> tuple[str, Any]:
    import yaml

    from scaling.errors import SweepError

    key, equals, value = setting.partition("=")
    if not equals or not key:
        raise SweepError(f"--set {setting!r} is not KEY=VALUE; write --set seq_len=128")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError:
        raise SweepError(f"--set {setting!r}: the value is not YAML; put it in quotes") from None
