"""A sweep file becomes cells: which, in which chains, and which not and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import scaling.sweep_file
from scaling.errors import SweepError
from scaling.sweep import Sweep, expand
from scaling.sweep_file import find_sweep, read_config
from tests.tiny_sweep import loader, write_tiny_sweep

BUNDLED = ("quickstart", "bert_vs_gpt", "learning_rate")


def expanded(folder: Path, *, overrides: Any = None, **changes: Any) -> Sweep:
    return expand(write_tiny_sweep(folder, **changes), loader(folder), overrides=overrides)


def test_a_grid_is_the_product_of_its_axes(tmp_path: Path) -> None:
    sweep = expanded(tmp_path, arch=["decoder", "encoder"], seed=[0, 1, 2])
    labels = [cell.labels for cell in sweep.cells]
    assert len(labels) == 2 * 3 * 2
    assert labels[0] == {"arch": "decoder", "size": "1x16x2", "train_tokens": 2560, "seed": 0}
    assert {(x["arch"], x["seed"], x["train_tokens"]) for x in labels} == {
        (arch, seed, tokens)
        for arch in ("decoder", "encoder")
        for seed in (0, 1, 2)
        for tokens in (2560, 5120)
    }


def test_the_horizons_of_a_trunk_form_a_chain(tmp_path: Path) -> None:
    sweep = expanded(tmp_path, train_tokens=[10240, 2560, 5120], seed=[0, 1])
    for chain in (sweep.cells[:3], sweep.cells[3:]):
        assert len({cell.spec.trunk_id for cell in chain}) == 1
        forks = [cell.spec.fork_tokens for cell in chain]
        assert forks == sorted(forks)
        assert [cell.depends_on for cell in chain] == [None, chain[0].run_id, chain[1].run_id]


def test_points_that_are_one_run_are_one_cell_and_noted(tmp_path: Path) -> None:
    sweep = expanded(tmp_path, train_tokens=[2560, 2570], seed=0)
    assert len(sweep.cells) == 1
    assert len(sweep.notes) == 1
    assert "train_tokens=2570" in sweep.notes[0]
    assert "is the same run as" in sweep.notes[0]


def test_excluded_cells_are_listed_and_hang_on_no_chain(tmp_path: Path) -> None:
    sweep = expanded(tmp_path, limits={"min_steps": 15})
    assert [cell.depends_on for cell in sweep.cells] == [None]
    ((excluded),) = sweep.excluded
    assert excluded.reason == "steps=10 is under min_steps=15"
    rows = sweep.to_dicts()
    assert [row["excluded"] for row in rows] == [None, excluded.reason]
    assert json.loads(json.dumps(rows)) == rows


def test_a_sweep_without_cells_says_why(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"no cells: all 2 are excluded, .* steps=10 is under"):
        expanded(tmp_path, limits={"min_steps": 1000})


def test_overrides_replace_add_and_take_out(tmp_path: Path) -> None:
    overrides = {"seed": [5, 6], "train_tokens": None, "tokens_per_param": 2}
    sweep = expanded(tmp_path, overrides=overrides)
    assert [cell.labels["seed"] for cell in sweep.cells] == [5, 6]
    # The store keeps the sweep as it was run, in a form that runs again.
    again = tmp_path / "again.yaml"
    again.write_text(sweep.source)
    assert expand(again, loader(tmp_path)).cells == sweep.cells


def test_each_text_is_read_once(tmp_path: Path) -> None:
    calls = []
    load = loader(tmp_path)

    def counted(*arguments: Any) -> Any:
        calls.append(arguments)
        return load(*arguments)

    expand(write_tiny_sweep(tmp_path, seed=[0, 1, 2]), counted)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not YAML: "),
        ("a: 1\na: 2", "the key 'a' stands there twice"),
        ("- 1", "holds list, not a mapping"),
        ("", "holds NoneType, not a mapping"),
        ("method: bayes\nparameters: {a: {value: 1}}", "method='bayes' is not grid"),
        ("parameters: {a: {value: 1}}", "method=None is not grid"),
        ("method: grid", "the top level: 'parameters' is a required property"),
        ("method: grid\nparameters: {a: 1}", "parameters.a is 1; write {value: ...} or"),
        ("method: grid\nparameters: {a: {min: 1, max: 2}}", "parameters.a is {'min': 1, 'max': 2}"),
        ("method: grid\nparameters: {a: {values: []}}", "write {value: ...} or {values: [...]}"),
        ("method: grid\nengine: ray\nparameters: {a: {value: 1}}", "'engine' was unexpected"),
        ("method: grid\nparameters: {a: {value: 1}}", "parameter 'a' is unknown"),
        ("name: ../x\nmethod: grid\nparameters: {a: {value: 1}}", "cannot name a sweep"),
    ],
)
def test_a_bad_file_is_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r".") as raised:
        expand(path, loader(tmp_path))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_binary_file_is_no_sweep(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(SweepError, match="is not text: byte 0 is not UTF-8"):
        expand(path, loader(tmp_path))


@pytest.mark.parametrize("name", BUNDLED)
def test_bundled_sweeps_are_found_by_name_and_follow_the_rules(name: str) -> None:
    config, _ = read_config(find_sweep(name))
    assert config["name"] == name
    assert "${args_json_file}" in config["command"]
    assert set(config["parameters"]["arch"]["values"]) == {"encoder", "decoder"}


def test_an_unknown_name_suggests_a_bundled_one() -> None:
    with pytest.raises(SweepError, match="did you mean 'quickstart'"):
        find_sweep("quikstart")


def test_our_schema_takes_nothing_that_a_grid_sweep_of_wandb_may_not_have() -> None:
    schema = json.loads(
        Path(scaling.sweep_file.__file__).with_name("sweep_schema.json").read_text()
    )
    jsonschema.Draft7Validator.check_schema(schema)
    # The top level of the schema that wandb/sweeps publishes (src/sweeps/config/schema.json).
    published = {
        "apiVersion", "kind", "controller", "description", "program", "job", "image_uri", "entity",
        "project", "method", "command", "name", "run_cap", "metric", "metrics", "scheduler",
        "early_terminate", "parameters",
    }  # fmt: skip
    assert set(schema["properties"]) < published


def test_numbers_of_the_bundled_sweeps_are_numbers() -> None:
    for name in BUNDLED:
        parameters = yaml.safe_load(find_sweep(name).read_text())["parameters"]
        for key in ("train_flops", "train_tokens", "peak_lr"):
            for value in parameters.get(key, {}).get("values", []):
                assert isinstance(value, int | float)


def test_a_parameter_without_values_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no cells: a parameter has no values; give each"):
        expand(write_tiny_sweep(tmp_path), loader(tmp_path), overrides={"seed": []})
