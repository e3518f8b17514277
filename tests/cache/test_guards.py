import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.cache import guards
from costlab.cache.guards import DEFAULT_GUARDS, STRICT_GUARDS, Guard, named_terms, reasons
from costlab.datasets import support_queries
from costlab.synthetic import reworded

TEXTS = st.text(st.sampled_from("abcdeXYZ 0123456789.,'!?€$% not on off GB"), max_size=60)


@pytest.mark.parametrize(
    ("guard", "a", "b"),
    [
        (guards.different_negation, "I was charged after I cancelled", "I was never charged after I cancelled"),
        (guards.different_negation, "why is it working", "why isn't it working"),
        (guards.different_numbers, "within 30 days", "within 60 days"),
        (guards.different_numbers, "two seats more", "three seats more"),
        (guards.different_numbers, "it costs $2.99", "it costs $29.90"),
        (guards.different_units, "a week ago", "a month ago"),
        (guards.opposite_words, "how do I enable two-step", "how do I disable two-step"),
        (guards.opposite_words, "switch the backup on", "switch the backup off"),
        (guards.opposite_words, "how do I sign in on my tv", "how do I sign out on my tv"),
        (guards.opposite_words, "before the trial ended", "after the trial ended"),
        (guards.different_direction, "move files from the vault", "move files to the vault"),
        (guards.different_names, "remove Lena from it", "remove Tom from it"),
        (guards.swapped_words, "transfer it from Anna to Ben", "transfer it from Ben to Anna"),
        (guards.near_copy, "the invoice of our old bookkeeper", "the password of our old bookkeeper"),
    ],
)
def test_what_must_not_share_an_answer(guard: Guard, a: str, b: str) -> None:
    assert guard(a, b) is not None
    assert guard(b, a) is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("How do I turn on two-step sign-in?", "how do i turn on two step sign in"),
        ("I can't log in", "i cant log in please"),
        ("a file of 1,000 MB", "a file of 1000 megabytes"),
        ("fourteen days", "14 days"),
        ("Does Anna see my folder?", "hi, does anna see my folder"),
        ("restore my password", "restore my pasword thanks"),
        ("HOW DO I PAY", "how do i pay"),
    ],
)
def test_what_may_share_an_answer(a: str, b: str) -> None:
    assert reasons(a, b, STRICT_GUARDS) == ()


@pytest.mark.parametrize("guard", [*STRICT_GUARDS, named_terms(["Free", "Plus"])])
@given(a=TEXTS, b=TEXTS)
def test_guards_are_symmetric_and_let_a_text_equal_itself(guard: Guard, a: str, b: str) -> None:
    assert guard(a, a) is None
    assert (guard(a, b) is None) == (guard(b, a) is None)


def refused(pairs: list[tuple[str, str]], chosen: tuple[Guard, ...]) -> float:
    return sum(bool(reasons(a, b, chosen)) for a, b in pairs) / len(pairs)


def test_guards_refuse_most_contrast_pairs_they_were_not_made_on() -> None:
    # The word lists were made while looking at the train split only; this is the test split.
    pairs = [(pair.a.text, pair.b.text) for pair in support_queries().split_pairs("test")]
    default, strict = refused(pairs, DEFAULT_GUARDS), refused(pairs, STRICT_GUARDS)
    assert default > 0.6
    assert strict > default


def test_guards_let_nearly_all_repetitions_pass() -> None:
    rng = np.random.default_rng(4)
    pairs = [(query.text, reworded(rng, query.text)) for query in support_queries().split("test")]
    assert refused(pairs, DEFAULT_GUARDS) < 0.04
    assert refused(pairs, STRICT_GUARDS) < 0.08


def test_reasons_say_what_differs() -> None:
    assert reasons("add 100 GB to my plan", "add 1 TB to my plan") == (
        "numbers differ: 100 against 1",
        "units differ: GB against TB",
    )
    assert reasons("anything", "something else", ()) == ()
