"""What the embedder does not see, and what the checks do not know: signs, other languages, the end of a long text."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from costlab.cache import MemoryStore, ResponseCache
from costlab.cache.semantic import (
    DEFAULT_CHECKS,
    CachingEmbedder,
    EmbeddingLayer,
    PackagedMiniLm,
    ParaphraseCheck,
    evaluate_threshold,
    labelled_lookups,
    paraphrase,
    refusal_reasons,
    unguarded_language,
)
from tests.cache.support import Model, question

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costlab.cache.semantic import Embedder, ThresholdReport

#: 36 queries in each of six languages: 18 meanings, half of them the opposite of the other half, in two wordings.
QUERIES = Path(__file__).with_name("other_languages.csv")
LANGUAGES = ("German", "Spanish", "French", "Hindi", "Chinese", "Thai")
LESSON_4 = 0.80
MARKS = "? \uff1f"
#: The checks that know nothing of signs and languages.
WORDS_ONLY = tuple(c for c in DEFAULT_CHECKS if c not in (paraphrase.different_signs, unguarded_language))
MAIL = "the meeting about the new office went on for hours and nobody could say what had been decided in the end " * 16


def in_language(language: str) -> list[tuple[str, str]]:
    with QUERIES.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file) if row["language"] == language]


class Blind:
    """An embedder that does not say what it does not see, as others do not."""

    def __init__(self, embedder: Embedder) -> None:
        self.name, self.dimensions, self.embed = embedder.name, embedder.dimensions, embedder.embed


async def sources(layer: EmbeddingLayer, *texts: str) -> list[str]:
    cache = ResponseCache(MemoryStore(), semantic=layer)
    return [(await cache.get_or_call(question(text), Model())).source for text in texts]


@pytest.mark.anyio
async def test_two_tasks_at_the_end_of_one_long_text_share_no_answer(minilm: PackagedMiniLm) -> None:
    assert 330 <= len(MAIL.split()) <= 340
    texts = [f"{MAIL} please {task}" for task in ("summarise the mail above", "translate the mail above into polish")]
    one, other = minilm.embed(texts)
    assert one @ other > 0.9999  # the model sees neither task
    layer = EmbeddingLayer(minilm, LESSON_4)
    assert await sources(layer, *texts) == ["model", "model"]
    assert layer.unseen == {"too long": 2}
    assert await sources(EmbeddingLayer(Blind(minilm), LESSON_4, checks=()), *texts) == ["model", "semantic"]
    # A long text that was answered is not found from a short one either, nor by the study of look-ups.
    assert await layer._index.len() == 0
    (lookup,) = labelled_lookups(CachingEmbedder(minilm), [(texts[0], "a")], [(texts[1], "b")], checks=())
    assert lookup.similarity == -1


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("text", "other"),
    [
        ("ยกเลิกการสมัครสมาชิก", "พื้นที่เก็บข้อมูลเพิ่ม"),
        ("怎么打开备份", "怎么关闭备份"),
        ("የደንበኝነት ምዝገባ ሰርዝ", "ተጨማሪ ማከማቻ እፈልጋለሁ"),
        ("Meine Karte wird akzeptiert", "Meine Karte wird nicht akzeptiert"),
        ("what is 12 + 7?", "what is 12 - 7?"),
        ("is 7 > 5?", "is 7 < 5?"),
    ],
)
async def test_what_is_not_seen_is_no_hit_at_the_lessons_threshold(
    minilm: PackagedMiniLm, text: str, other: str
) -> None:
    one, two = minilm.embed([text, other])
    assert one @ two >= LESSON_4
    assert await sources(EmbeddingLayer(minilm, LESSON_4), text, other) == ["model", "model"]
    assert await sources(EmbeddingLayer(Blind(minilm), LESSON_4, checks=WORDS_ONLY), text, other) == [
        "model", "semantic",
    ]  # fmt: skip


def report(embedder: Embedder, language: str, checks: Sequence[ParaphraseCheck]) -> ThresholdReport:
    queries = in_language(language)
    assert len(queries) == 36
    lookups = labelled_lookups(embedder, queries[::2], queries[1::2], checks=checks)
    lookups += labelled_lookups(embedder, queries[::4], queries[2::4], checks=checks)
    return evaluate_threshold(lookups, LESSON_4)


@pytest.mark.parametrize("language", LANGUAGES)
def test_there_are_no_hits_in_languages_that_the_checks_do_not_know(minilm: PackagedMiniLm, language: str) -> None:
    before = report(Blind(minilm), language, WORDS_ONLY)
    assert before.false_hits >= 3
    assert report(minilm, language, DEFAULT_CHECKS).hits == 0
    # The checks do it alone for an embedder that knows every script.
    assert report(Blind(minilm), language, DEFAULT_CHECKS).hits == 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_typed_again_needs_no_guard_in_any_language(language: str) -> None:
    for text, _ in in_language(language):
        again = f"  {text.rstrip(MARKS)}.".upper()
        assert unguarded_language(text, again) is None
        assert unguarded_language(text, f"{text} 2") is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("kanselahin ang account ko", "buksan ang account ko"),  # Tagalog
        ("tắt sao lưu", "bật sao lưu"),  # Vietnamese
        ("Account sperren", "Account entsperren"),
        ("Premium Plan Upload stoppen", "Premium Plan Upload starten"),
        ("mijn account is open", "mijn account is dicht"),
        ("anuluj plan", "odnów plan"),
        ("Открыть архив", "Закрыть архив"),
        ("what does 开 mean", "what does 关 mean"),
        ("zzz qqq", "zzz qqx"),
    ],
)
def test_what_nobody_knows_to_be_english_is_unguarded(a: str, b: str) -> None:
    for reason in (unguarded_language(a, b), unguarded_language(b, a)):
        assert reason is not None
        assert reason.startswith("unguarded language")


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("cancel subscription", "cancel my subscription please"),
        ("is upload faster on plus", "is upload fsater on plus"),
        ("hi, EU region please", "eu region plaese"),
        ("a résumé for the naïve", "a resume for the naive"),
        ("what does nicht mean", "what does 'nicht' mean in german"),
        ("what does 开 mean", "hi, what does 开 mean pls"),
        ("12 + 7", "12+7 = "),
        ("", ""),
    ],
)
def test_what_is_english_or_no_language_is_guarded(a: str, b: str) -> None:
    assert unguarded_language(a, b) is None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("what is 12 + 7?", "what is 12 - 7?"),
        ("12 * 7", "12 / 7"),
        ("what is 12 × 7", "what is 12 ÷ 7"),  # noqa: RUF001
        ("is 7 > 5", "is 7 < 5"),
        ("is 7 >= 5", "is 7 > 5"),
        ("is x = 5", "is x != 5"),
        ("is a > b?", "is b > a?"),
        ("what is (1 + 2) * 3", "what is 1 + (2 * 3)"),
        ("set it to -5 degrees", "set it to 5 degrees"),
        ("set it to \u22125 degrees", "set it to 5 degrees"),
        ("what is 5!", "what is 5"),
        ("x ^ 2", "x | 2"),
        ("a loop in C++", "a loop in C"),
        ("a loop in C#", "a loop in C"),
        ("react with 👍", "react with 👎"),
    ],
)
def test_signs_decide(a: str, b: str) -> None:
    assert paraphrase.different_signs(a, b) is not None
    assert paraphrase.different_signs(b, a) is not None


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("what is 12+7", "hi, what is 12 + 7 please"),
        ("is 1,000 > 5", "is 1000 > 5"),
        ("2 - 3", "2 \u2212 3"),
        ("two-step sign-in - how?", "two step sign in: how"),
        ("e-mail and/or phone!", "email and or phone"),
        ("share (or link) my folder: how?", "share or link my folder - how"),
        ("does it cost 5% more", "does it cost 5 % more"),
    ],
)
def test_punctuation_does_not(a: str, b: str) -> None:
    assert paraphrase.different_signs(a, b) is None
    assert paraphrase.different_signs(b, a) is None


def test_opposite_operations_in_words() -> None:
    assert refusal_reasons("what is twelve plus seven", "what is twelve minus seven") == (
        "opposites: plus against minus",
        "signs differ: 12 + 7 against 12 - 7",
    )


def test_what_the_packaged_model_sees(minilm: PackagedMiniLm) -> None:
    assert minilm.unseen("How do I share a folder?") == minilm.unseen("") == ""
    assert minilm.unseen("word " * 254) == ""
    assert minilm.unseen("word " * 255) == "too long: more than the 256 tokens that the model sees"
    assert minilm.unseen("怎么打开备份") == "unknown tokens: 6 of 6"
    assert minilm.unseen("how do I share a 🦊 folder") == "unknown tokens: 1 of 7"
    assert CachingEmbedder(minilm).unseen("怎么打开备份") == "unknown tokens: 6 of 6"
    assert CachingEmbedder(Blind(minilm)).unseen("怎么打开备份") == ""
