"""Pasted and retrieved documents: the crossing beside both bills, question by question."""

import math

import pytest
from hypothesis import given, strategies as st

from costlab.errors import InvalidValueError
from costlab.token_economics import PastedDocuments, Retrieval, pasted_break_even_tokens


def retrieval(**change: float) -> Retrieval:
    given = {"passage_tokens": 2_000.0, "usd_per_token": 3e-6, "question_tokens": 50.0}
    given |= {"embedding_usd_per_token": 2e-8, "questions_per_month": 1_000.0}
    return Retrieval(**given | change)


@given(tokens=st.floats(0, 1e6), price=st.floats(1e-7, 1e-5), questions=st.floats(1, 1e6), storage=st.floats(0, 1e-6))
def test_up_to_the_crossing_pasting_is_cheaper(tokens: float, price: float, questions: float, storage: float) -> None:
    pasted = PastedDocuments(usd_per_token=price)
    found = retrieval(questions_per_month=questions, storage_usd_per_token_month=storage)
    crossing = pasted_break_even_tokens(pasted, found)
    bills = pasted.usd_per_question(tokens), found.usd_per_question(tokens)
    if not math.isclose(tokens, crossing, rel_tol=1e-6):
        assert (bills[0] < bills[1]) == (tokens < crossing)


def test_a_month_of_questions_counted_one_by_one() -> None:
    """100,000 tokens embedded twice a month, and 1,000 questions that each embed, search and carry 2,000 tokens."""
    found = retrieval(embeddings_per_month=2, search_usd=1e-5, storage_usd_per_token_month=1e-9)
    month = 2 * 100_000 * 2e-8 + 100_000 * 1e-9
    for _ in range(1_000):
        month += 50 * 2e-8 + 1e-5 + 2_000 * 3e-6
    assert 1_000 * found.usd_per_question(100_000) == pytest.approx(month)


def test_an_index_for_one_question_a_month_never_pays() -> None:
    assert pasted_break_even_tokens(PastedDocuments(usd_per_token=1e-8), retrieval(questions_per_month=1)) == math.inf


def test_documents_are_embedded_once_a_month_unless_told() -> None:
    once = {"passage_tokens": 1, "usd_per_token": 1, "question_tokens": 1, "embedding_usd_per_token": 1}
    assert Retrieval(**once, questions_per_month=1) == Retrieval(**once, questions_per_month=1, embeddings_per_month=1)


def test_what_is_outside_the_domain() -> None:
    with pytest.raises(InvalidValueError, match="usd_per_token must be a number > 0, got 0"):
        PastedDocuments(usd_per_token=0)
    with pytest.raises(InvalidValueError, match="search_usd must be a number >= 0, got -1"):
        retrieval(search_usd=-1)
    with pytest.raises(InvalidValueError, match="retrieval must be Retrieval, got 3"):
        pasted_break_even_tokens(PastedDocuments(usd_per_token=1), 3)  # type: ignore[arg-type]
