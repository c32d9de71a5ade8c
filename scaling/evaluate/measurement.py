"""A measurement: what is done with a finished model, from its options to plain values.

    MEASUREMENT = Measurement(options=Options, measure=measure, data=fingerprints)

`Options` is a frozen, keyword-only dataclass. Every option has a default and is part of what the
result is, but for the places of data (`place()`), whose fingerprints are. Defaults never change.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from scaling.cell_files import WEIGHTS
from scaling.errors import DamagedFile, StoreError, SweepError
from scaling.evaluate import MEASUREMENTS
from scaling.evaluate.options import make_options
from scaling.evaluation_cell import EvaluationSpec
from scaling.models import LanguageModel, build_model
from scaling.spec import RunSpec
from scaling.store import Store
from scaling.text import Text
from scaling.text_of_run import check_text, text_of
from scaling.words import did_you_mean

# Why a measurement with these options has no meaning for a run; None where it has one.
Unfit = Callable[[RunSpec, Any], str | None]

# Called with how many parts of how many are done.
Report = Callable[[int, int], None]
Weights = Literal["trained", "initial"]


def no_data(options: Any) -> dict[str, str]:
    """For a measurement that needs the training corpus alone, or nothing."""
    return {}


def fits_all(spec: RunSpec, options: Any) -> str | None:
    """For a measurement that has a meaning for every run."""
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """What can be measured on a finished model.

    Attributes:
        options: dataclass of its options. One of the name `weights`, of the type `Weights`, asks
            with the value `initial` for the untrained model of the same seed, the control.
        measure: gives the values of the record: finite numbers, text, lists and mappings with
            text as keys. A null is explained in the mapping `missing` among them, by its dotted
            name. It calls the report now and then, for people who wait.
        data: name -> fingerprint of the data that the options name, beside the training corpus. It
            reads them whole, so that what is wrong with them is said before anything is trained.
        unfit: says why it has no meaning for a run, such as a sampler of masked models for a causal
            one; a sweep leaves these pairs out of its grid.
        version: grows when `measure` comes to measure something else, so that it is measured anew.
    """

    options: type[Any]
    measure: Callable[[Trained, Any, Report], dict[str, Any]]
    data: Callable[[Any], dict[str, str]] = no_data
    unfit: Unfit = fits_all
    version: int = 1


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished run, ready to be measured.

    Attributes:
        model: its weights loaded, in eval mode, on `device`, in float32.
        root: of the store; `cache` is for what several measurements can share.
    """

    spec: RunSpec
    model: LanguageModel
    device: torch.device
    root: Path

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @cached_property
    def text(self) -> Text:
        """The text that it was trained on, read when first asked for."""
        text = text_of(self.spec, self.cache)
        check_text(self.spec, text)
        return text


def load_measurement(name: str) -> Measurement:
    """Raises SweepError for a name that is none."""
    if name not in MEASUREMENTS:
        raise SweepError(f"measurement {name!r} is unknown; {did_you_mean(name, MEASUREMENTS)}")
    module, _, attribute = MEASUREMENTS[name].partition(":")
    found: Measurement = getattr(import_module(module), attribute)
    return found


def load_trained(
    store: Store, run_id: str, *, weights: Weights = "trained", device: torch.device | None = None
) -> Trained:
    """A run of the store, with its trained or its initial weights.

    Args:
        device: where the model is wanted; a GPU, where one is there, else the processor.
    Raises:
        StoreError: the run is not done, or its weights are gone. DamagedFile: they are damaged.
    """
    spec = store.run_spec(run_id)
    device = device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build_model(spec)
    if weights == "trained":
        model.load_state_dict(_weights(store, run_id))
    return Trained(spec=spec, model=model.eval().to(device), device=device, root=store.root)


def make_evaluation(name: str, of: str, given: Mapping[str, Any]) -> EvaluationSpec:
    """The evaluation of run `of` by a measurement, with the options that are given.

    Raises:
        SweepError: the measurement or an option is unknown, or a value breaks a rule.
        OSError: data that an option names cannot be read.
    """
    measurement = load_measurement(name)
    options = make_options(measurement.options, given, what=name)
    identity, places = {}, {}
    for entry in dataclasses.fields(options):
        value = getattr(options, entry.name)
        if entry.metadata.get("place"):
            if value is not None:
                places[entry.name] = value
        elif value != entry.default:
            identity[entry.name] = list(value) if isinstance(value, tuple) else value
    return EvaluationSpec(
        measurement=name,
        of=of,
        options=identity,
        data=measurement.data(options),
        version=measurement.version,
        places=places,
    )


def why_unfit(name: str, given: Mapping[str, Any], run: RunSpec) -> str | None:
    """Why a measurement with these options has no meaning for a run; None where it has one."""
    measurement = load_measurement(name)
    return measurement.unfit(run, make_options(measurement.options, given, what=name))


def is_untrained(spec: EvaluationSpec) -> bool:
    """Whether it measures a model as it was before training."""
    return spec.options.get("weights") == "initial"


def place(default: str | None = None) -> Any:
    """An option that says where data lie, and so is no part of what the result is."""
    return field(default=default, metadata={"place": True})


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's content, the first 16 hex digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _weights(store: Store, run_id: str) -> dict[str, torch.Tensor]:
    path = store.folder(run_id) / WEIGHTS
    state = store.state(run_id)
    if state != "done":
        raise StoreError(
            f"run {run_id} is {state}, and this needs one that is done; "
            "`scaling status SWEEP` shows which are"
        )
    try:
        return load_file(path)
    except FileNotFoundError:
        raise StoreError(
            f"run {run_id} is done and has no {WEIGHTS}; to have them again, move its record.json "
            "away and run the sweep"
        ) from None
    except SafetensorError as error:
        raise DamagedFile(path, f"cannot be read ({error})") from None
