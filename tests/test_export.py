"""An exported run gives the same logits in `transformers`, through its own tokenizer too."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from scaling import export as exporting
from scaling.cli import main
from scaling.commands.export import export
from scaling.errors import DamagedFile, StoreError
from scaling.evaluate.measurement import load_trained
from scaling.export import ExportError, to_transformers
from scaling.models import LanguageModel, build_model
from scaling.outcome import ended_record
from scaling.record import Status
from scaling.spec import RunSpec
from scaling.store import Store
from scaling.tokenizer import byte_tokenizer, train_bpe
from scaling.transformers_names import FORMATS
from tests.factories import make_spec
from tests.parity import random_ids

transformers = pytest.importorskip("transformers")

AUTO_CLASSES = {
    "bert": "AutoModelForPreTraining",
    "roberta": "AutoModelForMaskedLM",
    "gpt": "AutoModelForCausalLM",
    "encoder": "AutoModelForCausalLM",
    "decoder": "AutoModelForCausalLM",
}
TEXT = "def f(x):\n    return x  # [MASK]ed"


def write_cell(root: Path, spec: RunSpec, model: LanguageModel, status: Status = "done") -> Path:
    store = Store(root)
    store.add(spec)
    folder = store.folder(spec.run_id)
    record = ended_record(spec, "failed", "not trained")
    if status == "done":
        record = dataclasses.replace(record, status="done", reason=None)
    (folder / "record.json").write_text(record.to_json())
    save_file(model.state_dict(), folder / "weights.safetensors")
    return folder


def export_run(cell: Path, out_dir: Path) -> list[str]:
    run = load_trained(Store(cell.parent.parent), cell.name, device=torch.device("cpu"))
    return exporting.export_run(run, out_dir)


def trained(arch: str, **changes: Any) -> tuple[RunSpec, LanguageModel]:
    """A model whose parameters all matter, as after training."""
    # A view of both directions takes masked tokens; every architecture can be trained on them.
    causal = arch in ("gpt", "decoder") and changes.get("attention") != "bidirectional"
    spec = make_spec(
        arch=arch,
        objective="clm" if causal else "mlm",
        n_layer=2,
        tokenizer_fingerprint=byte_tokenizer().fingerprint,
        **changes,
    )
    model = build_model(spec)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return spec, model.eval()


def token_logits(output: Any) -> torch.Tensor:
    return output.prediction_logits if "prediction_logits" in output else output.logits


@torch.no_grad()
@pytest.mark.parametrize(
    ("arch", "attention"),
    [*((arch, "default") for arch in FORMATS), ("encoder", "causal"), ("decoder", "bidirectional")],
)
def test_the_written_folder_gives_the_same_logits(
    arch: str, attention: Any, tmp_path: Path
) -> None:
    spec, model = trained(arch, attention=attention)
    export_run(write_cell(tmp_path, spec, model), tmp_path / "out")
    theirs = getattr(transformers, AUTO_CLASSES[arch]).from_pretrained(tmp_path / "out")
    ids_BT = random_ids(spec, rows=3, n_positions=20)
    ours_BTV = model.logits(model(ids_BT))
    torch.testing.assert_close(token_logits(theirs(input_ids=ids_BT)), ours_BTV, atol=1e-5, rtol=0)

    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    text_ids = [1, *byte_tokenizer().encode("x = 1\n"), *([] if model.is_causal else [2])]
    assert tokenizer("x = 1\n")["input_ids"] == text_ids
    assert tokenizer.decode(text_ids, skip_special_tokens=True) == "x = 1\n"
    # Padded, and with whatever else this tokenizer hands to that model.
    inputs = tokenizer([TEXT[:20], TEXT[:9]], return_tensors="pt", padding=True)
    valid_BT = inputs["attention_mask"].bool()
    ours_BTV = model.logits(model(inputs["input_ids"], valid_BT=valid_BT))
    output_BTV = token_logits(theirs(**inputs))
    torch.testing.assert_close(output_BTV[valid_BT], ours_BTV[valid_BT], atol=1e-5, rtol=0)


def test_a_mask_in_text_is_the_special_token_there(tmp_path: Path) -> None:
    spec, model = trained("bert")
    export_run(write_cell(tmp_path, spec, model), tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer.mask_token_id == 3
    assert tokenizer("a[MASK]b")["input_ids"] == [1, 4 + ord("a"), 3, 4 + ord("b"), 2]
    pair = tokenizer("a", "bc")
    assert pair["input_ids"] == [1, 4 + ord("a"), 2, 4 + ord("b"), 4 + ord("c"), 2]
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1, 1]


def test_bpe_is_found_in_the_cache_by_its_fingerprint(tmp_path: Path) -> None:
    bpe = train_bpe(["the cat sat on the mat. " * 20], vocab_size=270)
    bpe.save(tmp_path / "cache" / "tokenizers" / "some-text-bpe-270")
    spec, model = trained("decoder", tokenizer="bpe", vocab_size=270)
    spec = spec.replace(tokenizer_fingerprint=bpe.fingerprint)
    export_run(write_cell(tmp_path, spec, model), tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("the cat")["input_ids"] == [1, *bpe.encode("the cat")]


def test_a_missing_tokenizer_is_said_and_not_made_up(tmp_path: Path) -> None:
    spec, model = trained("decoder", tokenizer="bpe", vocab_size=270)
    spec = spec.replace(tokenizer_fingerprint="feed")
    notes = export_run(write_cell(tmp_path, spec, model), tmp_path / "out")
    assert "no tokenizer with fingerprint feed" in notes[-1]
    assert not (tmp_path / "out" / "tokenizer.json").exists()


def test_a_version_that_ignores_the_direction_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, model = trained("encoder")
    folder = write_cell(tmp_path, spec, model)

    def causal_anyway(spec: RunSpec, model: LanguageModel) -> Any:
        theirs = to_transformers(spec, model)
        theirs.config.is_causal = True
        return theirs

    to_transformers = exporting.to_transformers
    monkeypatch.setattr(exporting, "to_transformers", causal_anyway)
    with pytest.raises(ExportError, match=r"use transformers 5\.2 or later"):
        export_run(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_direction_stands_in_the_configuration(tmp_path: Path) -> None:
    for arch, written in (("encoder", {"is_causal": False}), ("decoder", {})):
        spec, model = trained(arch)
        export_run(write_cell(tmp_path, spec, model), tmp_path / arch)
        config = json.loads((tmp_path / arch / "config.json").read_text())
        assert {k: v for k, v in config.items() if k == "is_causal"} == written


def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, model = trained("decoder")
    failed = write_cell(tmp_path / "failed", spec, model, status="failed")
    with pytest.raises(StoreError, match="is failed, and this needs one that is done"):
        export_run(failed, tmp_path / "out")
    damaged = write_cell(tmp_path / "damaged", spec, model)
    (damaged / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(DamagedFile, match="cannot be read"):
        export_run(damaged, tmp_path / "out")
    done = write_cell(tmp_path, spec, model)
    with pytest.raises(ExportError, match="is not empty"):
        export_run(done, tmp_path)
    biased = spec.replace(position_bias="relative")
    with pytest.raises(ExportError, match="position_bias none can be exported"):
        to_transformers(biased, build_model(biased))
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ExportError, match=r"pip install -c .*\[export\]'"):
        export_run(done, tmp_path / "out")


def test_the_command_writes_the_folder_and_says_how_to_load_it(tmp_path: Path) -> None:
    spec, model = trained("gpt")
    write_cell(tmp_path / "runs", spec, model)
    out = tmp_path / "out"
    arguments = [spec.run_id[:6], str(out), "--root", str(tmp_path / "runs")]
    result = CliRunner().invoke(export, arguments, catch_exceptions=False)
    assert result.output == f"GPT2LMHeadModel.from_pretrained('{out}') loads it\n"
    assert {path.name for path in out.iterdir()} >= {"config.json", "model.safetensors"}
    nobody = CliRunner().invoke(main, ["export", "feed", str(out), *arguments[2:]])
    assert (nobody.exit_code, nobody.stderr) == (
        2, "error: no run id begins with 'feed'; `scaling status SWEEP` lists them\n"
    )  # fmt: skip
    help_text = CliRunner().invoke(export, ["--help"]).output
    assert "Example: scaling export" in help_text
