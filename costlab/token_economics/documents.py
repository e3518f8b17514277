"""Documents in the prompt, or found for it: where the bills of a pasted corpus and of a vector index cross."""

from __future__ import annotations

from dataclasses import dataclass

from costlab._internal import checks
from costlab.errors import InvalidValueError


@dataclass(frozen=True, slots=True, kw_only=True)
class PastedDocuments:
    """Documents that are sent whole with every question.

    Attributes
    ----------
    usd_per_token : float
        Of a token of the documents in each question: the price of fresh input, or what a cache makes of it, > 0.
    """

    usd_per_token: float

    def __post_init__(self) -> None:
        checks.positive("usd_per_token", self.usd_per_token)

    def usd_per_question(self, document_tokens: float) -> float:
        """What the documents add to a question, in USD."""
        return checks.non_negative("document_tokens", document_tokens) * self.usd_per_token


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    r"""Documents that are embedded once, and of which a question gets a few passages.

    .. math:: \text{usd per question} = k\,p + q\,e + s + \frac{D\,(e\,m + v)}{Q}

    Attributes
    ----------
    passage_tokens : float
        Tokens of all passages that go into a question, k >= 0.
    usd_per_token : float
        Of a token of a passage in the prompt, p > 0.
    question_tokens : float
        Tokens of a question, which is embedded to search with, q >= 0.
    embedding_usd_per_token : float
        Of a token embedded, e >= 0.
    search_usd : float
        Of a search in the index, s >= 0.
    storage_usd_per_token_month : float
        Of keeping the vectors of a token's share of the documents for a month, v >= 0.
    embeddings_per_month : float
        How often the documents change and are embedded again in a month, m >= 0.
    questions_per_month : float
        Q > 0.
    """

    passage_tokens: float
    usd_per_token: float
    question_tokens: float
    embedding_usd_per_token: float
    questions_per_month: float
    search_usd: float = 0.0
    storage_usd_per_token_month: float = 0.0
    embeddings_per_month: float = 1.0

    def __post_init__(self) -> None:
        for name in ("usd_per_token", "questions_per_month"):
            checks.positive(name, getattr(self, name))
        for name in (
            "passage_tokens", "question_tokens", "embedding_usd_per_token", "search_usd", "storage_usd_per_token_month",
            "embeddings_per_month",
        ):  # fmt: skip
            checks.non_negative(name, getattr(self, name))

    @property
    def fixed_usd_per_question(self) -> float:
        """What a question costs however many documents there are, in USD."""
        embedded = self.question_tokens * self.embedding_usd_per_token
        return self.passage_tokens * self.usd_per_token + embedded + self.search_usd

    @property
    def usd_per_document_token(self) -> float:
        """What a token of the documents adds to each question, in USD."""
        monthly = self.embedding_usd_per_token * self.embeddings_per_month + self.storage_usd_per_token_month
        return monthly / self.questions_per_month

    def usd_per_question(self, document_tokens: float) -> float:
        """What retrieval adds to a question, in USD."""
        tokens = checks.non_negative("document_tokens", document_tokens)
        return self.fixed_usd_per_question + tokens * self.usd_per_document_token


def pasted_break_even_tokens(pasted: PastedDocuments, retrieval: Retrieval) -> float:
    r"""Tokens of documents up to which pasting them all is cheaper than finding passages.

    .. math:: D^* = \frac{k\,p + q\,e + s}{p' - (e\,m + v) / Q}

    Returns
    -------
    float
        Infinite where so few questions come that an index never pays for itself.

    Notes
    -----
    Prices alone: a passage that is not found, and a document that is overlooked in a long prompt, both cost quality.
    Where a long request costs more per token, the pasted documents must be priced at that length.

    Examples
    --------
    Five passages of 400 tokens at 3 dollars a million, or everything from the cache at 0.30: up to which length?

    >>> found = Retrieval(
    ...     passage_tokens=2_000, usd_per_token=3e-6, question_tokens=50, embedding_usd_per_token=2e-8,
    ...     questions_per_month=30_000,
    ... )
    >>> round(pasted_break_even_tokens(PastedDocuments(usd_per_token=3e-7), found))
    20003
    """
    for name, value, kind in (("pasted", pasted, PastedDocuments), ("retrieval", retrieval, Retrieval)):
        if not isinstance(value, kind):
            raise InvalidValueError(name, kind.__name__, value)
    slope = pasted.usd_per_token - retrieval.usd_per_document_token
    return retrieval.fixed_usd_per_question / slope if slope > 0 else float("inf")
