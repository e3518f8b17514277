"""Published data sets: intents of customers, and requests to language models in production.

Their files are taken from a folder, from the cache of earlier downloads, or from their address.
"""

import csv
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import DatasetError

#: Name of the environment variable with a folder that holds the files already.
FOLDER_VARIABLE = "COSTLAB_DATA_DIR"


@dataclass(frozen=True, slots=True)
class UpstreamFile:
    """A file as its authors published it, at one commit.

    Attributes
    ----------
    name : str
        Its name in the folder and in the cache.
    url : str
        Where it is published.
    sha256 : str
        Its checksum.
    """

    name: str
    url: str
    sha256: str


_RAW: Final = "https://raw.githubusercontent.com"
_CLINC: Final = UpstreamFile(
    "clinc_data_full.json",
    f"{_RAW}/clinc/oos-eval/828f8093932c8fe6ca7936c3d2e52903b1c523de/data/data_full.json",
    "36923c3705a59e08fe9c3883d8bc2dd966ef93e22cb78ac41171782a698d56e0",
)
_POLYAI: Final = f"{_RAW}/PolyAI-LDN/task-specific-datasets/57ec275d8078af65b7731c2a98be812d844a6d6b/banking_data"
_BANKING: Final = {
    "train": UpstreamFile(
        "banking_train.csv", f"{_POLYAI}/train.csv", "b06e26ac675513959a63135f11b94ea7786ed02da65db93a5650d8838cbc664b"
    ),
    "test": UpstreamFile(
        "banking_test.csv", f"{_POLYAI}/test.csv", "d12d6e3bc4c3103966ae786dc435913c0c563dfa328f5a3646d0e62cfeeb474d"
    ),
}
_AZURE: Final = {
    "conversation": UpstreamFile(
        "AzureLLMInferenceTrace_conv.csv",
        f"{_RAW}/Azure/AzurePublicDataset/b469a11/data/AzureLLMInferenceTrace_conv.csv",
        "2f1e5b666d4e3055fdbba98598ce2ec307767b9064e03e2fa46676dbcc7d0bf8",
    ),
    "code": UpstreamFile(
        "AzureLLMInferenceTrace_code.csv",
        f"{_RAW}/Azure/AzurePublicDataset/b469a11/data/AzureLLMInferenceTrace_code.csv",
        "54e9a6d2a4bd06ba1e060304b900abbc74cbea53de96506e60fe5bb4f2277fb6",
    ),
}


@dataclass(frozen=True, slots=True)
class IntentQuery:
    """One labelled query.

    Attributes
    ----------
    text, intent : str
        What was typed, and what was wanted; ``oos`` where no intent of the set was.
    split : str
        The part of the set as published.
    """

    text: str
    intent: str
    split: str


@dataclass(frozen=True, slots=True)
class IntentQueries:
    """A published set of labelled queries.

    Attributes
    ----------
    name : str
        As its authors call it.
    queries : tuple of IntentQuery
        In the published order.
    licence, citation : str
        Terms of use, and what to cite.
    """

    name: str
    queries: tuple[IntentQuery, ...]
    licence: str
    citation: str

    def split(self, name: str) -> tuple[IntentQuery, ...]:
        """The queries of one published part."""
        checks.one_of("split", name, dict.fromkeys(query.split for query in self.queries))
        return tuple(query for query in self.queries if query.split == name)


@dataclass(frozen=True, slots=True)
class LlmTrace:
    """Requests to a language model in production, in the order in which they arrived.

    Attributes
    ----------
    kind : {'conversation', 'code'}
        Which service.
    arrival_s : tuple of float
        Seconds after the first request.
    context_tokens, generated_tokens : tuple of int
        Tokens of each request's prompt and of its answer.
    licence, citation : str
        Terms of use, and what to cite.
    """

    kind: str
    arrival_s: tuple[float, ...]
    context_tokens: tuple[int, ...]
    generated_tokens: tuple[int, ...]
    licence: str
    citation: str


def clinc150() -> IntentQueries:
    """CLINC150: 150 intents of a voice assistant in ten domains, and queries outside them.

    Returns
    -------
    IntentQueries
        Splits ``train``, ``val``, ``test``, and ``oos_train``, ``oos_val``, ``oos_test``.

    Raises
    ------
    DatasetError
        If the file can neither be found nor fetched, or is not the published one.

    References
    ----------
    Larson et al. (2019), An evaluation dataset for intent classification and out-of-scope prediction, EMNLP-IJCNLP,
    https://aclanthology.org/D19-1131
    """
    parts = json.loads(local_path(_CLINC).read_text(encoding="utf-8"))
    return IntentQueries(
        name="CLINC150",
        queries=tuple(IntentQuery(text, intent, split) for split, rows in parts.items() for text, intent in rows),
        licence="CC BY 3.0",
        citation=(
            "Larson et al. (2019), An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction, "
            "EMNLP-IJCNLP 2019"
        ),
    )


def banking77() -> IntentQueries:
    """BANKING77: 77 intents of a bank's customers.

    Returns
    -------
    IntentQueries
        Splits ``train`` and ``test``.

    Raises
    ------
    DatasetError
        If a file can neither be found nor fetched, or is not the published one.

    References
    ----------
    Casanueva et al. (2020), Efficient intent detection with dual sentence encoders, NLP4ConvAI,
    https://aclanthology.org/2020.nlp4convai-1.5
    """
    queries: list[IntentQuery] = []
    for split, file in _BANKING.items():
        with local_path(file).open(encoding="utf-8", newline="") as rows:
            queries += [IntentQuery(row["text"], row["category"], split) for row in csv.DictReader(rows)]
    return IntentQueries(
        name="BANKING77",
        queries=tuple(queries),
        licence="CC BY 4.0",
        citation="Casanueva et al. (2020), Efficient Intent Detection with Dual Sentence Encoders, NLP4ConvAI 2020",
    )


def azure_llm_trace(kind: str = "conversation") -> LlmTrace:
    """An hour of requests to one of two language-model services of Azure, November 2023.

    Parameters
    ----------
    kind : {'conversation', 'code'}
        Which service.

    Raises
    ------
    UnknownNameError
        If `kind` is neither.
    DatasetError
        If the file can neither be found nor fetched, or is not the published one.

    References
    ----------
    Patel et al. (2024), Splitwise: efficient generative LLM inference using phase splitting, ISCA,
    https://doi.org/10.1109/ISCA59077.2024.00019
    """
    checks.one_of("kind of trace", kind, _AZURE)
    with local_path(_AZURE[kind]).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # The file's seven decimals of a second are one more than a datetime holds.
    stamps = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in rows]
    return LlmTrace(
        kind=kind,
        arrival_s=tuple((stamp - stamps[0]).total_seconds() for stamp in stamps),
        context_tokens=tuple(int(row["ContextTokens"]) for row in rows),
        generated_tokens=tuple(int(row["GeneratedTokens"]) for row in rows),
        licence="CC BY 4.0",
        citation="Patel et al. (2024), Splitwise: Efficient Generative LLM Inference Using Phase Splitting, ISCA 2024",
    )


def local_path(file: UpstreamFile) -> Path:
    """Path of a verified local copy of `file`.

    Looked for in the folder that the environment variable ``COSTLAB_DATA_DIR`` names, then among earlier downloads, and
    fetched at last.

    Raises
    ------
    DatasetError
        If it cannot be had, or what was found is not the published file. The message says where to get it.
    MissingExtraError
        If it must be fetched and pooch is not installed.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and (Path(folder) / file.name).is_file():
        path = Path(folder) / file.name
        if hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
            raise DatasetError(f"{path} is not the published file: its sha256 is not {file.sha256}; {_where(file)}")
        return path
    with extra("datasets"):
        import pooch
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # a download is announced on stderr otherwise, in the middle of a lesson
    try:
        return Path(pooch.retrieve(file.url, f"sha256:{file.sha256}", fname=file.name, path=pooch.os_cache("costlab")))
    except (OSError, ValueError) as error:  # no network, no such page, or another checksum
        raise DatasetError(f"{file.name} could not be fetched ({type(error).__name__}); {_where(file)}") from error
    finally:
        logger.setLevel(level)


def _where(file: UpstreamFile) -> str:
    return f"get it at {file.url} and name its folder in {FOLDER_VARIABLE}"
