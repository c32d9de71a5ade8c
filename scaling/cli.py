"""The command `scaling`: the one module that knows both packages, and imports neither early."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import click

from scaling import interruption

# command -> where it is, and what it does, so that the overview imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "plan": ("scaling.commands.plan:plan", "Show what a sweep will train, and what it costs."),
    "run": ("scaling.commands.run:run", "Train what is missing of a sweep; resumes by itself."),
    "evaluate": ("scaling.commands.evaluate:evaluate", "Measure runs that are trained."),
    "status": ("scaling.commands.status:status", "Show the state of every cell."),
    "watch": ("scaling.commands.watch:watch", "Watch a sweep on one screen until it has ended."),
    "serve": ("scaling.commands.serve:serve", "Show report and progress in a local browser."),
    "logs": ("scaling.commands.logs:logs", "Show what a cell wrote, and who worked on it."),
    "cancel": ("scaling.commands.cancel:cancel", "Stop cells at their checkpoint, everywhere."),
    "retry": ("scaling.commands.retry:retry", "Make cells that failed pending again."),
    "cell": ("scaling.commands.cell:cell", "Train one point of a grid, for a W&B agent."),
    "store": ("scaling.commands.store:store", "Find and mend damage; write a table of all cells."),
    "generate": ("scaling.commands.generate:generate", "Write text with a trained model."),
    "export": ("scaling.commands.export:export", "Write a trained model for transformers."),
    "fit": ("analysis.commands:fit", "Fit a scaling law to a table of runs."),
    "compare": ("analysis.commands:compare", "Compare how two groups of runs scale."),
    "plot": ("analysis.commands:plot", "Draw a table of runs and its fits."),
    "report": ("analysis.commands:report", "Write a study as one HTML file."),
    "predict": ("analysis.commands:predict", "Ask a fitted law about another size or budget."),
    "answer": ("analysis.commands:answer", "Answer one of the five questions."),
    "sync": ("scaling.commands.sync:sync", "Mirror a store to a W&B project."),
    "dashboard": ("scaling.commands.dashboard:dashboard", "Charts and a report in W&B, as code."),
    "bench": ("scaling.commands.bench:bench", "Measure what this machine can do."),
    "doctor": ("scaling.commands.doctor:doctor", "Check this machine and its installation."),
}


class LazyGroup(click.Group):
    """Imports a command when it is called, and says errors of its user in one line."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, function = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and args[0][:1].isalnum():
            from scaling.words import did_you_mean

            context.fail(f"No such command {args[0]!r}; {did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except click.UsageError as error:
            asked = error.ctx.command_path if error.ctx else context.command_path
            return _fail(context, f"{error.format_message().rstrip('.')}; see `{asked} --help`")
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
            context.exit(interruption.EXIT_CODE)
        except BrokenPipeError:
            raise  # the reader of our output has gone: click ends quietly
        except (ValueError, OSError) as error:
            from scaling.errors import user_message

            if (line := user_message(error)) is None:
                raise
            return _fail(context, line)


def _fail(context: click.Context, line: str) -> None:
    from scaling.logs import harmless

    print(f"error: {harmless(line)}", file=sys.stderr)
    context.exit(2)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""\b
Examples:
  scaling plan quickstart && scaling run quickstart
  scaling status quickstart --watch
  scaling report runs/quickstart
""",
)
@click.version_option(package_name="scaling-suite")
@click.pass_context
def main(context: click.Context) -> None:
    """Train BERT and GPT over a grid of sizes, and say how they scale."""
    # `analysis` knows no W&B: it is handed what reads runs from there.
    context.obj = {"readers": {"wandb:": _read_wandb}, "outline": _outline}


def _read_wandb(address: str, root: Path) -> Path:
    from scaling.wandb_mirror.download import read_project
    from scaling.wandb_mirror.project import parse_project

    return read_project(parse_project(address, with_sweep=True), root)


def _outline(source: Path, folder: Path, figures: tuple[str, ...], n_boot: int) -> dict[str, Any]:
    from analysis.commands.outline import outline

    return outline(source, folder, figures, n_boot)
