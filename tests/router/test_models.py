"""What each kind of model promises beyond the contract."""

from __future__ import annotations

import asyncio
import math
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.router import (
    ClassifierModel,
    EmbeddingModel,
    EnsembleModel,
    ModelError,
    ModelTimeoutError,
    Prediction,
    ScriptedModel,
    TokenUsage,
    TransformersModel,
    mean_probability,
)
from tests import needs
from tests.router import tiny

pytestmark = pytest.mark.anyio


class Told:
    """A classifier that gives these probabilities for every text."""

    def __init__(self, **chances: float) -> None:
        self.classes_ = list(chances)
        self._row = list(chances.values())

    def predict_proba(self, texts: Any) -> Any:
        return np.array([self._row] * len(texts))


async def test_a_classifier_is_as_sure_as_its_likeliest_class() -> None:
    model = ClassifierModel(Told(cancel=0.7, password=0.3))
    assert await model.predict("any") == Prediction("cancel", 0.7)
    assert model.predict_all([]) == []


async def test_a_classifiers_confidence_is_calibrated() -> None:
    model = ClassifierModel(Told(cancel=0.7, password=0.3), lambda sure: np.asarray(sure) / 2, threads=0)
    assert (await model.predict("any")).confidence == pytest.approx(0.35)


async def test_a_classifier_that_is_too_sure_learns_to_be_as_sure_as_it_is_right() -> None:
    """Told 0.8 of 1, 0.1 and 0.1, and right in half of the queries: the two others share the rest."""
    model = ClassifierModel(Told(a=0.8, b=0.1, c=0.1), threads=0).fit_temperature(["q"] * 4, ["a", "b", "a", "c"])
    found = await model.predict("any")
    assert found.answer == "a"
    assert found.confidence == pytest.approx(0.5, abs=1e-6)
    assert model.probabilities(["any"]).tolist() == [[0.8, 0.1, 0.1]]  # as an ensemble takes them
    with pytest.raises(UnknownNameError, match="unknown label 'd'"):
        model.fit_temperature(["q"], ["d"])
    with pytest.raises(InvalidValueError, match="labels must be as many as there are queries"):
        model.fit_temperature(["q"], [])


async def test_a_call_that_is_cancelled_while_it_waits_is_never_made() -> None:
    made, go_on = [], threading.Event()

    class Counting(Told):
        def predict_proba(self, texts: Any) -> Any:
            made.extend(texts)
            go_on.wait(5.0)
            return super().predict_proba(texts)

    async def story() -> None:
        model = ClassifierModel(Counting(a=1.0))
        calls = [asyncio.ensure_future(model.predict(query)) for query in "abcd"]
        while not made:
            await asyncio.sleep(0.001)
        for call in calls[1:]:
            call.cancel()
        await asyncio.gather(*calls[1:], return_exceptions=True)
        go_on.set()
        assert (await calls[0]).answer == "a"
        await model.predict("e")

    await story()
    assert made == ["a", "e"]


def test_an_ensemble_takes_the_geometric_mean_class_by_class() -> None:
    """By hand: sqrt(0.9 x 0.4) = 0.6 and sqrt(0.1 x 0.6) = 0.245, so that 0.6 / 0.845 = 0.710."""
    members = [ClassifierModel(Told(a=0.9, b=0.1)), ClassifierModel(Told(b=0.6, a=0.4))]
    (found,) = EnsembleModel(members).predict_all(["any"])
    assert found.answer == "a"
    assert found.confidence == pytest.approx(0.6 / (0.6 + math.sqrt(0.06)))


def test_a_member_that_is_certain_does_not_outvote_all_by_an_infinite_logarithm() -> None:
    members = [ClassifierModel(Told(a=1.0, b=0.0)), ClassifierModel(Told(a=0.0, b=1.0))]
    (found,) = EnsembleModel(members).predict_all(["any"])
    assert found.confidence == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ClassifierModel(object()), "classifier must be a fitted one"),
        (lambda: ClassifierModel(Told(a=1.0), threads=-1), "threads must be a whole number >= 0"),
        (lambda: EnsembleModel([ClassifierModel(Told(a=1.0))]), "members must be at least two classifiers, got 1"),
        (
            lambda: EnsembleModel([ClassifierModel(Told(a=0.5, b=0.5)), ClassifierModel(Told(a=0.5, c=0.5))]),
            r"members must be classifiers of the same classes, got \['b', 'c'\]",
        ),
        (lambda: ScriptedModel({}, -1.0), "latency_s must be a number >= 0"),
        (lambda: TokenUsage(input_tokens=1, cached_input_tokens=2), "the cached tokens among the input"),
        (lambda: TokenUsage(output_tokens=-1), r"counts in 0\.\."),
        (lambda: TokenUsage(output_tokens=2**53), r"counts in 0\.\.9007199254740991"),
        (lambda: TokenUsage(input_tokens=1, searches=2**53), r"counts in 0\.\.9007199254740991"),
    ],
)
def test_what_cannot_be_is_refused(build: Any, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        build()


def test_a_classifier_of_other_vectors_is_refused_before_the_first_query() -> None:
    needs.extra("sklearn", "router")

    class Longer(tiny.LetterEmbedder):
        dimensions = 27

    with pytest.raises(InvalidValueError, match="fitted on 27 numbers a vector, got 26"):
        EmbeddingModel(Longer(), tiny.vector_classifier())


async def test_a_script_may_fail_wait_and_count() -> None:
    async def later(query: str) -> Prediction:
        await asyncio.sleep(0.001)
        return Prediction(query, 1.0)

    async def story() -> None:
        model = ScriptedModel(later)
        await asyncio.gather(*(model.predict(str(i)) for i in range(5)))
        assert (model.calls, model.running, model.most_running) == (5, 0, 5)
        failing = ScriptedModel({"a": ModelError("overloaded", TokenUsage(3))})
        with pytest.raises(ModelError) as found:
            await failing.predict("a")
        assert found.value.usage == TokenUsage(3)
        with pytest.raises(KeyError):
            await failing.predict("b")
        assert failing.running == 0

    await story()


def test_a_timeout_is_both_a_model_error_and_a_timeout() -> None:
    error = ModelTimeoutError("too slow")
    assert isinstance(error, TimeoutError)
    assert (str(error), error.usage, error.bill_unknown) == ("too slow", None, True)


def test_a_bill_that_is_known_is_not_unknown() -> None:
    error = ModelTimeoutError("too slow", TokenUsage(5))
    assert (error.usage, error.bill_unknown) == (TokenUsage(5), False)
    assert not ModelError("overloaded").bill_unknown


def test_the_mean_probability_is_geometric() -> None:
    assert mean_probability([math.log(0.9), math.log(0.4)]) == pytest.approx(0.6)
    assert math.isnan(mean_probability([]))
    assert mean_probability([1e-9]) == 1.0  # a rounding error above certainty


class TestTransformers:
    async def test_confidence_and_usage_are_those_of_the_tokens(self, llama: tuple[Any, Any]) -> None:
        """Against the model's own scores of the text that it made, in one pass."""
        import torch

        model, tokenizer = llama
        found = await TransformersModel(model, tokenizer, max_tokens=6).predict("hello")
        asked = tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], add_generation_prompt=True)
        asked = asked["input_ids"] if not isinstance(asked, list) else asked
        made = torch.tensor([asked])
        with torch.inference_mode():
            logs = []
            for _ in range(found.usage.output_tokens):
                scores = torch.log_softmax(model(made).logits[0, -1], dim=-1)
                logs.append(float(scores.max()))
                made = torch.cat([made, scores.argmax().reshape(1, 1)], dim=1)
        assert found.usage == TokenUsage(input_tokens=len(asked), output_tokens=len(logs))
        assert found.answer == tokenizer.decode(made[0, len(asked) :], skip_special_tokens=True).strip()
        assert found.confidence == pytest.approx(mean_probability(logs), rel=1e-4)

    async def test_silence_is_no_answer_and_billed(self, llama: tuple[Any, Any]) -> None:
        class Silent:
            """The tokenizer of a model whose tokens are all white space."""

            def __getattr__(self, name: str) -> Any:
                return getattr(llama[1], name)

            def decode(self, *_: Any, **__: Any) -> str:
                return " "

        with pytest.raises(ModelError, match="the model gave no answer") as found:
            await TransformersModel(llama[0], cast(Any, Silent()), max_tokens=4).predict("hello")
        assert found.value.usage is not None
        assert found.value.usage.output_tokens == 4

    @pytest.mark.parametrize("parse", [int, {}.__getitem__])
    async def test_words_that_are_no_answer_are_billed(self, llama: tuple[Any, Any], parse: Any) -> None:
        model = TransformersModel(*llama, parse=parse, max_tokens=4)
        with pytest.raises(ModelError, match="not an answer: ") as found:
            await model.predict("hello")
        assert found.value.usage is not None
        assert found.value.usage.output_tokens == 4

    async def test_a_cancelled_call_computes_no_further(self, llama: tuple[Any, Any]) -> None:
        passes: list[None] = []
        counting = llama[0].register_forward_hook(lambda *_: passes.append(None))
        try:
            model, short = TransformersModel(*llama, max_tokens=3000), TransformersModel(*llama, max_tokens=1)
            short._workers = model._workers
            task = asyncio.ensure_future(model.predict("hello"))
            while not passes:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            before = len(passes)
            # The next call waits for the one thread: for the tokens under way, not for three thousand.
            await short.predict("hello")
        finally:
            counting.remove()
        assert len(passes) - before <= 5

    async def test_a_plain_tokenizer_gets_the_instructions_as_text(self, llama: tuple[Any, Any]) -> None:
        model, _ = llama
        _, tokenizer = tiny.language_model()
        tokenizer.chat_template = None
        found = await TransformersModel(model, tokenizer, system="Brief.", max_tokens=1).predict("hi")
        assert found.usage.input_tokens == len("Brief.\nhi")
        with pytest.raises(ModelError, match="the query has no tokens"):
            await TransformersModel(model, tokenizer, max_tokens=1).predict("")

    async def test_it_is_read_from_a_folder(self, llama: tuple[Any, Any], tmp_path: Path) -> None:
        model, tokenizer = llama
        model.save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        here = await TransformersModel(model, tokenizer, max_tokens=5).predict("hello")
        read = await TransformersModel.from_folder(tmp_path, max_tokens=5).predict("hello")
        assert (read.answer, read.usage) == (here.answer, here.usage)

    def test_a_folder_without_a_model_is_never_looked_up_elsewhere(self, tmp_path: Path) -> None:
        needs.extra("torch", "models")
        needs.extra("transformers", "router")
        with pytest.raises(InvalidValueError, match="folder must be a folder that exists"):
            TransformersModel.from_folder(tmp_path / "org" / "model")
        with pytest.raises((OSError, ValueError), match=r"config\.json"):
            TransformersModel.from_folder(tmp_path)
