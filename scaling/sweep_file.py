"""A sweep file: where it lies, and that it is a W&B grid sweep in YAML without ambiguities."""

from __future__ import annotations

import json
from collections.abc import Hashable
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from scaling.errors import SweepError
from scaling.words import did_you_mean


def find_sweep(name: str) -> Path:
    """A path as it is, else a sweep that comes with the suite, by its bare name."""
    path = Path(name)
    if path.exists() or path.suffix in (".yaml", ".yml"):
        return path
    bundled = {Path(entry.name).stem: entry for entry in resources.files("sweeps").iterdir()
               if entry.name.endswith(".yaml")}  # fmt: skip
    if name not in bundled:
        raise SweepError(
            f"sweep {name!r} is neither a file nor bundled; {did_you_mean(name, sorted(bundled))}"
        )
    return Path(str(bundled[name]))


def read_config(path: Path) -> tuple[dict[str, Any], str]:
    """A sweep file as a mapping that follows the schema, and its text."""
    try:
        source = path.read_text(encoding="utf-8")
        config = yaml.load(source, _UniqueKeys)  # noqa: S506 a SafeLoader that is stricter
    except UnicodeDecodeError as error:
        raise SweepError(
            f"{path} is not text: byte {error.start} is not UTF-8; is it YAML?"
        ) from None
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise SweepError(f"{path} is not YAML: {reason}; mend it there") from None
    if not isinstance(config, dict):
        raise SweepError(
            f"{path} holds {type(config).__name__}, not a mapping; "
            "a sweep starts with `method: grid` and `parameters:`"
        )
    _check_schema(path, config)
    return config, source


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets the last of two equal keys win without a word; here that is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for index, key in enumerate(keys):
            if key in keys[:index]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands there twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _check_schema(path: Path, config: dict[str, Any]) -> None:
    import jsonschema

    schema = json.loads(Path(__file__).with_name("sweep_schema.json").read_bytes())
    error = jsonschema.exceptions.best_match(jsonschema.Draft7Validator(schema).iter_errors(config))
    if error is None:
        return
    place = ".".join(map(str, error.absolute_path)) or "the top level"
    if place == "method" or "'method' is a required" in error.message:
        found = f"method={config.get('method')!r} is not grid"
        raise SweepError(f"{path}: {found}; the suite runs grids only: write `method: grid`")
    if place.startswith("parameters."):
        found = f"{place} is {error.instance!r}"
        raise SweepError(f"{path}: {found}; write {{value: ...}} or {{values: [...]}}")
    raise SweepError(f"{path}: {place}: {error.message}; `wandb sweep` would not take it either")
