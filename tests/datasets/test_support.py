import re
from collections import Counter, defaultdict
from importlib.resources import files

import pytest

from costlab.datasets import OUT_OF_SCOPE, SPLITS, SupportQuery, support_queries
from costlab.errors import UnknownNameError
from tests import needs

SET = support_queries()
IN_SCOPE = [query for query in SET.queries if query.intent != OUT_OF_SCOPE]


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
    assert len(IN_SCOPE) >= 1500
    by_intent = Counter(query.intent for query in IN_SCOPE)
    assert by_intent.keys() == SET.intents.keys()
    assert min(by_intent.values()) >= 24
    assert max(by_intent.values()) <= 1.5 * min(by_intent.values())
    for split, share in zip(SPLITS, (0.5, 0.25, 0.25), strict=True):
        assert len(SET.split(split)) == pytest.approx(share * len(SET.queries), rel=0.03)
        within = Counter(query.intent for query in SET.split(split))
        assert min(within.values()) >= 5
        assert all(abs(within[name] - share * by_intent[name]) <= 3 for name in by_intent)
        levels = Counter(query.difficulty for query in SET.split(split))
        assert min(levels.values()) > 0.15 * sum(levels.values())


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
    parts: dict[str, list[tuple[SupportQuery, set[str]]]] = defaultdict(list)
    for query in SET.queries:
        parts[query.split].append((query, trigrams(query.text)))
    for first, second in (("train", "calibration"), ("train", "test"), ("calibration", "test")):
        for a, grams_a in parts[first]:
            for b, grams_b in parts[second]:
                assert 10 * len(grams_a & grams_b) <= 6 * len(grams_a | grams_b), (a, b)


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
    assert row("of them in scope", len(IN_SCOPE), *(len(SET.split(s, in_scope=True)) for s in SPLITS)) in card
    assert row("contrast pairs", len(SET.pairs), *(len(SET.split_pairs(s)) for s in SPLITS)) in card
    levels = Counter(query.difficulty for query in IN_SCOPE)
    assert f"{levels['easy']} queries are easy, {levels['medium']} medium and {levels['hard']} hard" in card
    assert f"{len(SET.intents)} intents in {len({i.family for i in SET.intents.values()})} families" in card
    assert f"{len({(q.intent, q.group) for q in IN_SCOPE})} groups" in card
    for kind, count in Counter(pair.kind for pair in SET.pairs).items():
        assert f"{kind} {count}" in card


def test_the_set_is_not_too_easy_to_teach_with() -> None:
    needs.extra("sklearn", "test")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    words = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
    train, test = SET.split("train", in_scope=True), SET.split("test", in_scope=True)
    words.fit([query.text for query in train], [query.intent for query in train])
    accuracy = words.score([query.text for query in test], [query.intent for query in test])
    assert 10 / len(SET.intents) < accuracy < 0.9
    assert accuracy == pytest.approx(0.33, abs=0.02)  # as the data card says
