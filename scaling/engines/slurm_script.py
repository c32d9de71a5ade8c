"""What Slurm is asked for: the options of the engine, checked, and the script that sbatch reads.

submitit knows the parameters of sbatch and writes the script. Its way to run a function is left
alone: it would pickle the function into the store and unpickle it in the task. The script starts
`python -m scaling.engines.slurm_task` instead, which reads the jobs as JSON. It runs without srun:
with `exec` the worker is the process that Slurm signals, and it alone tells its cells.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scaling.errors import EngineError
from scaling.install import install_command

# Of submitit's parameters, the usual ones by their own name; others as `slurm_NAME`.
PARAMETERS = (
    "account",
    "array_parallelism",
    "constraint",
    "cpus_per_task",
    "exclude",
    "gpus_per_node",
    "gres",
    "mem",
    "mem_per_cpu",
    "mem_per_gpu",
    "nodelist",
    "partition",
    "qos",
    "signal_delay_s",
    "time",
)
OWN = ("cells_per_task", "setup", "wait")

# What the engine decides itself, or what would be run by a shell.
_REFUSED = frozenset(
    {
        "additional_parameters",
        "command",
        "folder",
        "job_name",
        "map_count",
        "nodes",
        "ntasks_per_node",
        "setup",
        "srun_args",
        "stderr_to_stdout",
        "teardown",
        "use_srun",
    }
)
_SAFE_VALUE = re.compile(r"[A-Za-z0-9_.:,=+@/%\[\]-]+")
# `--constraint='[rack1*2&rack2]'` is how Slurm writes a choice of nodes.
_SAFE_CONSTRAINT = re.compile(r"[A-Za-z0-9_.:,=+@/%\[\]&|*()!-]+")
_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
_DEFAULT_SIGNAL_DELAY_SECONDS = 90


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """The options of a launch.

    Attributes:
        parameters: for submitit; what a task is given that trains cells on one device each.
        setup: a script that each task sources before it starts.
        wait: stay until every cell has ended.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    setup: Path | None = None
    cells_per_task: int = 1
    wait: bool = False

    @property
    def signal_delay_seconds(self) -> int:
        return int(self.parameters.get("signal_delay_s", _DEFAULT_SIGNAL_DELAY_SECONDS))

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Request:
        """Raises EngineError for an option that is unknown, or a value that cannot be passed on."""
        parameters: dict[str, Any] = {}
        for name, value in options.items():
            if name in OWN:
                continue
            parameter = _parameter(name)
            allowed = _SAFE_CONSTRAINT if parameter == "constraint" else _SAFE_VALUE
            if not allowed.fullmatch(value):
                raise EngineError(
                    f"{name}={value!r} holds what a shell might take for its own; "
                    "letters, digits and _.:,=+@/%[]- can be passed to Slurm"
                )
            parameters[parameter] = _typed(value)
        for name in ("array_parallelism", "signal_delay_s"):
            if name in parameters:
                parameters[name] = _whole_number(name, options.get(name, str(parameters[name])))
        request = cls(
            parameters=parameters,
            setup=_setup(options.get("setup")),
            cells_per_task=_whole_number("cells_per_task", options.get("cells_per_task", "1")),
            wait=_truth("wait", options.get("wait", "false")),
        )
        request._check_time()
        return request

    def _check_time(self) -> None:
        seconds = _seconds(str(self.parameters.get("time", "")))
        if seconds is not None and seconds <= self.signal_delay_seconds:
            raise EngineError(
                f"time={self.parameters['time']} is {seconds:,} seconds, and Slurm warns "
                f"{self.signal_delay_seconds} seconds before the end, for the checkpoint; "
                "ask for more time, or set signal_delay_s"
            )

    def for_devices(self, devices: int) -> dict[str, Any]:
        """The parameters of a task whose cells are trained on `devices` each."""
        parameters = dict(self.parameters)
        if devices == 1:
            return parameters
        if "gpus_per_node" in parameters:
            parameters["gpus_per_node"] = _with_count(str(parameters["gpus_per_node"]), devices)
        if "gres" in parameters:
            parameters["gres"] = _with_count(str(parameters["gres"]), devices)
        parameters["cpus_per_task"] = int(parameters.get("cpus_per_task", 1)) * devices
        return parameters


def sbatch_script(
    request: Request, *, name: str, folder: Path, root: Path, devices: int, tasks: int
) -> str:
    """The script of an array of `tasks` workers, whose logs and jobs lie in `folder`.

    Raises:
        EngineError: submitit is missing, or knows no such parameter.
    """
    try:
        from submitit.slurm.slurm import _make_sbatch_string
    except ImportError:
        raise EngineError(
            "the engine slurm needs the package submitit; install it with: "
            f"{install_command('slurm')}"
        ) from None
    if re.search(r"[\n\r%\\]", str(folder)):
        raise EngineError(f"{folder} cannot be named in a Slurm script; choose another --root")
    cells = request.cells_per_task if devices == 1 else 1
    command = [sys.executable, "-u", "-m", "scaling.engines.slurm_task", "--root", str(root)]
    command += ["--jobs", str(folder / "jobs.json")]
    command += ["--devices", str(devices), "--cells", str(cells)]
    # submitit's own defaults, five minutes and a key for accounting, are nobody's wish here.
    parameters = {"time": None, "wckey": None} | request.for_devices(devices)
    try:
        text: str = _make_sbatch_string(
            command=f"exec {shlex.join(command)}",
            folder=folder,
            job_name=name,
            setup=[f"source {shlex.quote(str(request.setup))} || exit"] if request.setup else None,
            map_count=tasks,
            stderr_to_stdout=True,
            use_srun=False,
            additional_parameters={
                "output": f"{folder}/%A_%a.log",
                "requeue": True,
                # B: the batch process alone, which is the worker.
                "signal": f"B:USR1@{request.signal_delay_seconds}",
            },
            **parameters,
        )
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown is None:
            raise
        raise EngineError(
            f"submitit has no parameter {unknown[1]!r}; the options of the engine slurm: "
            f"{', '.join(sorted((*PARAMETERS, *OWN)))}, and slurm_NAME for others of submitit"
        ) from None
    return text


def _parameter(name: str) -> str:
    """The parameter of submitit that an option of the engine names."""
    if name in PARAMETERS:
        return name
    parameter = name.removeprefix("slurm_")
    if parameter == name:
        raise EngineError(
            f"the engine slurm has no option {name!r}; its options: "
            f"{', '.join(sorted((*PARAMETERS, *OWN)))}, and slurm_NAME for others of submitit"
        )
    if parameter in _REFUSED:
        raise EngineError(f"{name} is the engine's own to set; leave it out")
    return parameter


def _typed(value: str) -> str | int | bool:
    if value.isdecimal():
        return int(value)
    return True if value == "true" else value


def _whole_number(name: str, value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise EngineError(f"{name}={value!r} is not a whole number from 1; write {name}=1")
    return int(value)


def _truth(name: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise EngineError(f"{name}={value!r} is neither true nor false; write {name}=true")
    return value == "true"


def _setup(value: str | None) -> Path | None:
    if value is None:
        return None
    path = Path(value).absolute()
    if not path.is_file() or "\n" in value:
        raise EngineError(
            f"setup={value!r} is no file; it names a script that each task sources, "
            "with lines such as `module load cuda`"
        )
    return path


def _with_count(wanted: str, devices: int) -> str:
    """`gpu:a100:1` or `2` with another number of devices."""
    head, colon, last = wanted.rpartition(":")
    if last.isdecimal():
        return f"{head}{colon}{devices}"
    return f"{wanted}:{devices}"


def _seconds(time: str) -> int | None:
    """A time limit as Slurm reads it: minutes, or days-hours; None for what is no time."""
    found = _TIME.fullmatch(time)
    if found is None:
        return None
    days, *numbers = (int(number) if number else None for number in found.groups())
    if days is not None:
        hours, minutes, seconds = (number or 0 for number in numbers)
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    first, second, third = numbers
    if third is not None:
        return ((first or 0) * 60 + (second or 0)) * 60 + third
    return (first or 0) * 60 + (second or 0)
