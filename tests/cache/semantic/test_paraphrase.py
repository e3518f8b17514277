import numpy as np
import pytest
from hypothesis import given, strategies as st

from costlab.cache.semantic import (
    DEFAULT_CHECKS,
    STRICT_CHECKS,
    ParaphraseCheck,
    named_terms,
    paraphrase,
    refusal_reasons,
)
from costlab.datasets import support_queries
from costlab.synthetic import reworded

TEXTS = st.text(st.sampled_from("abcdeXYZ 0123456789.,'!?€$% not on off GB"), max_size=60)


@pytest.mark.parametrize(
    ("check", "a", "b"),
    [
        (paraphrase.different_negation, "I was charged after I cancelled", "I was never charged after I cancelled"),
        (paraphrase.different_negation, "why is it working", "why isn't it working"),
        (paraphrase.different_numbers, "within 30 days", "within 60 days"),
        (paraphrase.different_numbers, "two seats more", "three seats more"),
        (paraphrase.different_numbers, "it costs $2.99", "it costs $29.90"),
        (paraphrase.different_units, "a week ago", "a month ago"),
        (paraphrase.opposite_words, "how do I enable two-step", "how do I disable two-step"),
        (paraphrase.opposite_words, "switch the backup on", "switch the backup off"),
        (paraphrase.opposite_words, "how do I sign in on my tv", "how do I sign out on my tv"),
        (paraphrase.opposite_words, "before the trial ended", "after the trial ended"),
        (paraphrase.opposite_words, "sort them ascending", "sort them descending"),
        (paraphrase.opposite_words, "open my father's account", "open my mother's account"),
        (paraphrase.opposite_words, "how do I subscribe", "how do I unsubscribe"),
        (paraphrase.opposite_words, "is the form complete", "is the form incomplete"),
        (paraphrase.different_units, "a screw of 5 mm", "a screw of 5 m"),
        (paraphrase.different_units, "set it to 20 celsius", "set it to 20 fahrenheit"),
        (paraphrase.different_units, "call me at 9 am", "call me at 9 pm"),
        (paraphrase.different_direction, "move files from the vault", "move files to the vault"),
        (paraphrase.different_names, "remove Lena from it", "remove Tom from it"),
        (paraphrase.swapped_words, "transfer it from Anna to Ben", "transfer it from Ben to Anna"),
        (paraphrase.different_numbers, "5 million in euros", "5 billion in euros"),
        (paraphrase.different_numbers, "seventy seats", "eighty seats"),
        (paraphrase.different_numbers, "is version 1.10 newer", "is version 1.1 newer"),
        (paraphrase.opposite_words, "is it true that it is free", "is it false that it is free"),
        (paraphrase.opposite_words, "the fastest way to sync", "the slowest way to sync"),
        (paraphrase.opposite_words, "how do I accept an invitation", "how do I decline an invitation"),
        (paraphrase.opposite_words, "is it safe for adults", "is it safe for children"),
        (paraphrase.opposite_words, "I rarely get mails", "I often get mails"),
        (paraphrase.opposite_words, "how do I zoom in", "how do I zoom out"),
        (paraphrase.opposite_words, "should I turn left at the bank", "should I turn right at the bank"),
        (paraphrase.opposite_words, "how do I scale the fleet up", "how do I scale the fleet down"),
        (paraphrase.opposite_words, "is the server up?", "is the server down?"),
        (paraphrase.different_names, "what does gpt-4o cost", "what does gpt-4o-mini cost"),
        (paraphrase.different_signs, "what does grep -i do", "what does grep -v do"),
        (paraphrase.different_signs, "what does git reset --soft do", "what does git reset --hard do"),
        (paraphrase.different_signs, "ls -r, what is it", "ls -R, what is it"),
        (paraphrase.different_signs, r"what does \d match", r"what does \D match"),
        (paraphrase.different_signs, r"what does a.b match", r"what does a\.b match"),
        (paraphrase.different_signs, "what does if (!x) mean", "what does if (x) mean"),
        (paraphrase.different_signs, "what does x[i] do", "what does x(i) do"),
        (paraphrase.different_signs, "is it in /etc/hosts", "is it in /etc/host.conf"),
        (paraphrase.different_signs, "what is five times three", "what is five plus three"),
        (paraphrase.near_copy, "the invoice of our old bookkeeper", "the password of our old bookkeeper"),
    ],
)
def test_what_must_not_share_an_answer(check: ParaphraseCheck, a: str, b: str) -> None:
    assert check(a, b) is not None
    assert check(b, a) is not None


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
        ("my account is locked, how do I unlock it", "my account is locked, can I unlock it"),
        ("wait 5 s", "wait 5 seconds"),
        ("I sent 3 i think", "I sent three I think"),
        ("it costs $1.10", "it costs $1.1"),
        ("what does gpt-4o-mini cost", "what does gpt-4o mini cost"),
        ("a 2-step sign-in - how?", "a two step sign in, how?"),
        ("does family/business have it? yes/no", "does family/business have it? yes/no please"),
        ("Help! It fails", "help!! it fails"),
        ("my seat(s) and yours", "My seat(s) and yours."),
        ("what comes up when it is down", "what comes up when its down"),
    ],
)
def test_what_may_share_an_answer(a: str, b: str) -> None:
    assert refusal_reasons(a, b, STRICT_CHECKS) == ()


def test_a_sign_may_be_said() -> None:
    assert refusal_reasons("what is 7 plus 8", "what is 7 + 8") == ()


@pytest.mark.parametrize("check", [*STRICT_CHECKS, named_terms(["Free", "Plus"])])
@given(a=TEXTS, b=TEXTS)
def test_checks_are_symmetric_and_let_a_text_equal_itself(check: ParaphraseCheck, a: str, b: str) -> None:
    assert check(a, a) is None
    assert (check(a, b) is None) == (check(b, a) is None)


def refused(pairs: list[tuple[str, str]], chosen: tuple[ParaphraseCheck, ...]) -> float:
    return sum(bool(refusal_reasons(a, b, chosen)) for a, b in pairs) / len(pairs)


def test_checks_refuse_most_contrast_pairs_they_were_not_made_on() -> None:
    # The word lists were made while looking at the train split only; this is the test split.
    pairs = [(pair.a.text, pair.b.text) for pair in support_queries().split_pairs("test")]
    default, strict = refused(pairs, DEFAULT_CHECKS), refused(pairs, STRICT_CHECKS)
    assert default > 0.6
    assert strict > default


def test_checks_let_nearly_all_repetitions_pass() -> None:
    rng = np.random.default_rng(4)
    pairs = [(query.text, reworded(rng, query.text)) for query in support_queries().split("test")]
    assert refused(pairs, DEFAULT_CHECKS) < 0.04
    assert refused(pairs, STRICT_CHECKS) < 0.08


def test_reasons_say_what_differs() -> None:
    assert refusal_reasons("add 100 GB to my plan", "add 1 TB to my plan") == (
        "numbers differ: 100 against 1",
        "units differ: GB against TB",
    )
    assert refusal_reasons("anything", "something else", ()) == ()
