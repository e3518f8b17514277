import re
from collections import Counter, defaultdict
from importlib.resources import files

import numpy as np
import pytest

from costlab.datasets import OUT_OF_SCOPE, SPLITS, SupportQuery, support_queries
from costlab.errors import UnknownNameError
from tests import needs

SET = support_queries()
IN_SCOPE = [query for query in SET.queries if query.intent != OUT_OF_SCOPE]


def ordinary(query: SupportQuery) -> bool:
    return query.id > "q2162"


def trigrams(text: str) -> set[str]:
    letters = re.sub(r"[^a-z0-9]+", " ", text.lower()).strip()
    return {letters[k : k + 3] for k in range(len(letters) - 2)}


def test_schema() -> None:
    assert len({query.id for query in SET.queries}) == len(SET.queries)
    for query in SET.queries:
        assert re.fullmatch(r"q\d{4}", query.id)
        assert query.text == query.text.strip() != ""
        assert "\n" not in query.text
        assert query.intent == OUT_OF_SCOPE or query.intent in SET.intents
        assert query.difficulty in ("easy", "medium", "hard")
        assert query.split in SPLITS
    assert SET.licence == "CC BY 4.0"


def test_every_intent_has_its_own_answer() -> None:
    answers = SET.answers
    assert len(set(answers.values())) == len(answers) >= 60
    assert all(len(answer.split()) > 15 for answer in answers.values())
    families = Counter(intent.family for intent in SET.intents.values())
    assert min(families.values()) >= 2


def test_size_and_balance() -> None:
    assert len(IN_SCOPE) >= 3500
    by_intent = Counter(query.intent for query in IN_SCOPE)
    assert by_intent.keys() == SET.intents.keys()
    assert min(by_intent.values()) >= 46
    assert max(by_intent.values()) <= 1.5 * min(by_intent.values())
    for split, share in zip(SPLITS, (0.5, 0.25, 0.25), strict=True):
        assert len(SET.split(split)) == pytest.approx(share * len(SET.queries), rel=0.03)
        within = Counter(query.intent for query in SET.split(split))
        assert min(within.values()) >= 9
        assert all(abs(within[name] - share * by_intent[name]) <= 3 for name in by_intent)


def test_one_half_is_hard_and_the_other_ordinary() -> None:
    by_intent = Counter(query.intent for query in SET.queries if ordinary(query))
    assert by_intent.keys() == SET.intents.keys()
    assert min(by_intent.values()) >= 20
    for split, share in zip(SPLITS, (0.5, 0.25, 0.25), strict=True):
        levels = Counter(query.difficulty for query in SET.split(split) if not ordinary(query))
        assert len(levels) == 3
        assert min(levels.values()) > 0.15 * sum(levels.values())
        second = [query for query in SET.split(split) if ordinary(query)]
        within = Counter(query.intent for query in second)
        assert all(abs(within[name] - share * by_intent[name]) <= 1.5 for name in by_intent)
        levels = Counter(query.difficulty for query in second)
        assert levels["easy"] == pytest.approx(2 / 3 * len(second), rel=0.05)
        assert 0 < levels["hard"] < 0.06 * len(second)


def test_contrast_pairs_need_different_answers_and_stay_together() -> None:
    assert len(SET.pairs) >= 200
    for pair in SET.pairs:
        assert pair.a.intent != pair.b.intent
        assert SET.intents[pair.a.intent].family == SET.intents[pair.b.intent].family
        assert pair.a.split == pair.b.split
    assert len(SET.split_pairs("calibration")) >= 40
    assert len(SET.split_pairs("test")) >= 40
    assert len({pair.kind for pair in SET.pairs}) >= 7


def test_a_paraphrase_group_lies_within_one_split() -> None:
    splits: dict[tuple[str, str], set[str]] = defaultdict(set)
    for query in SET.queries:
        splits[query.intent, query.group].add(query.split)
    assert all(len(found) == 1 for found in splits.values())


def test_no_text_occurs_twice_and_no_near_duplicate_crosses_splits() -> None:
    assert len({" ".join(re.findall(r"\w+", query.text.lower())) for query in SET.queries}) == len(SET.queries)
    grams = [trigrams(query.text) for query in SET.queries]
    column = {gram: k for k, gram in enumerate(sorted(set().union(*grams)))}
    has = np.zeros((len(grams), len(column)), dtype=np.float32)
    for row, own in zip(has, grams, strict=True):
        row[[column[gram] for gram in own]] = 1
    split = np.array([query.split for query in SET.queries])
    for first, second in (("train", "calibration"), ("train", "test"), ("calibration", "test")):
        a, b = np.flatnonzero(split == first), np.flatnonzero(split == second)
        shared = has[a] @ has[b].T
        either = has[a].sum(axis=1)[:, None] + has[b].sum(axis=1) - shared
        alike = np.argwhere(10 * shared > 6 * either)
        assert [(SET.queries[a[i]], SET.queries[b[j]]) for i, j in alike] == []


def test_split_may_leave_out_what_nobody_answers() -> None:
    assert OUT_OF_SCOPE in {query.intent for query in SET.split("test")}
    assert OUT_OF_SCOPE not in {query.intent for query in SET.split("test", in_scope=True)}
    with pytest.raises(UnknownNameError, match="unknown split 'tests'; did you mean 'test'"):
        SET.split("tests")
    with pytest.raises(UnknownNameError, match="unknown split 'dev'"):
        SET.split_pairs("dev")


def test_data_card_states_the_numbers_of_the_files() -> None:
    card = (files("costlab.datasets") / "support" / "CARD.md").read_text(encoding="utf-8")

    def row(name: str, *numbers: int) -> str:
        return f"| {name} | {' | '.join(map(str, numbers))} |"

    assert row("queries", len(SET.queries), *(len(SET.split(s)) for s in SPLITS)) in card
    second = [sum(map(ordinary, SET.split(s))) for s in SPLITS]
    assert row("of them in the second half", sum(second), *second) in card
    assert row("of them in scope", len(IN_SCOPE), *(len(SET.split(s, in_scope=True)) for s in SPLITS)) in card
    assert row("contrast pairs", len(SET.pairs), *(len(SET.split_pairs(s)) for s in SPLITS)) in card
    levels = Counter(query.difficulty for query in IN_SCOPE)
    assert f"{levels['easy']} queries are easy, {levels['medium']} medium and {levels['hard']} hard" in card
    assert f"{len(SET.intents)} intents in {len({i.family for i in SET.intents.values()})} families" in card
    levels = Counter(query.difficulty for query in IN_SCOPE if ordinary(query))
    assert f"second half {levels['easy']}, {levels['medium']} and {levels['hard']}" in card
    groups, plain = (
        {(q.intent, q.group) for q in IN_SCOPE if ordinary(q) in kept} for kept in ((False, True), (True,))
    )
    assert f"{len(groups)} groups, {len(plain)} of them in the second half" in card
    counts = Counter(query.intent for query in IN_SCOPE).values()
    assert f"{min(counts)} to {max(counts)} queries each" in card
    for kind, count in Counter(pair.kind for pair in SET.pairs).items():
        assert f"{kind} {count}" in card


def test_the_set_is_not_too_easy_to_teach_with() -> None:
    needs.extra("sklearn", "test")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    train, test = SET.split("train", in_scope=True), SET.split("test", in_scope=True)
    halves = (test, [q for q in test if not ordinary(q)], [q for q in test if ordinary(q)])
    # As the data card says, and in the same order.
    for fitted_on, expected in (
        (train, (0.54, 0.44, 0.67)),
        ([query for query in train if not ordinary(query)], (0.45, 0.33, 0.60)),
    ):
        words = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
        words.fit([query.text for query in fitted_on], [query.intent for query in fitted_on])
        found = [words.score([q.text for q in half], [q.intent for q in half]) for half in halves]
        assert 10 / len(SET.intents) < found[0] < 0.9
        assert found == pytest.approx(expected, abs=0.02)
