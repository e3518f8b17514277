"""A classifier that was fitted is kept as numbers: it answers as scikit-learn would, and is not fitted again."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab.datasets import support_queries
from costlab.router.models import fitted
from costlab.router.models.fitted import LinearClassifier, WordClassifier, fit_on_vectors, fit_on_words
from costlab.router.tiers_file import load_tiers, open_cascade
from tests import needs

pytestmark = pytest.mark.anyio

needs.extra("sklearn", "router")

ROWS = (
    "text,label\nreset my password,password\npassword forgotten,password\ncancel my plan,cancel\nend the plan,cancel\n"
)
TIERS = (
    '[[tier]]\nname = "small"\nusd_per_request = 0.001\nmin_confidence = 0.1\n'
    'model = { kind = "sklearn", training = "rows.csv" }\n'
)

#: Libraries that take longer to load than a kept classifier takes to answer.
HEAVY = ("sklearn", "scipy", "pandas", "torch", "transformers", "openai", "matplotlib", "duckdb", "pyarrow", "faiss")


@pytest.fixture
def tiers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COSTLAB_CACHE_DIR", str(tmp_path / "kept"))
    (tmp_path / "rows.csv").write_text(ROWS)
    path = tmp_path / "t.toml"
    path.write_text(TIERS)
    return path


async def answer(path: Path, **settings: Any) -> tuple[object, list[str]]:
    """What a question is answered, and which tiers were trained."""
    trained: list[str] = []
    async with open_cascade(load_tiers(path), on_training=trained.append, **settings) as cascade:
        routed = await cascade.route("I forgot the password")
    return (routed.answer, routed.attempts[0].confidence if routed.attempts else None), trained


def test_words_are_weighted_as_scikit_learn_does() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    queries = support_queries()
    train, test = (queries.split(name, in_scope=True)[::5] for name in ("train", "test"))
    texts, labels = [one.text for one in train], [one.intent for one in train]
    asked = [
        *(one.text for one in test),
        "",
        "a b c",
        "ÄRGER über den Zugang, naïve 12 + 7",
        "words that nobody learned",
    ]
    for some in (slice(None), [label in sorted(set(labels))[:2] for label in labels]):
        chosen = [np.array(values, dtype=object)[some].tolist() for values in (texts, labels)]
        pipeline = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000)
        ).fit(*chosen)
        ours = WordClassifier(fit_on_words(10.0, *chosen))
        assert list(ours.classes_) == list(pipeline.classes_)
        np.testing.assert_allclose(ours.predict_proba(asked), pipeline.predict_proba(asked), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_vectors_are_told_apart_as_by_scikit_learn(classes: int) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(classes)
    vectors, labels = rng.normal(size=(120, 16)), [str(n % classes) for n in range(120)]
    theirs = LogisticRegression(C=3.0, max_iter=1000).fit(vectors, labels)
    ours = LinearClassifier(fit_on_vectors(3.0, vectors, labels))
    asked = rng.normal(size=(50, 16)).astype(np.float32)
    np.testing.assert_allclose(ours.predict_proba(asked), theirs.predict_proba(asked), rtol=1e-5)


def test_a_second_process_neither_fits_nor_loads_what_fits(tiers: Path) -> None:
    code = (
        "import sys; from costlab.cli import main\n"
        "try: main(['route', sys.argv[1], 'I forgot the password', '--json'])\n"
        f"finally: print(*(name for name in {HEAVY!r} if name in sys.modules), file=sys.stderr)"
    )
    told = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code, str(tiers)], capture_output=True, text=True, check=True)
        told.append((json.loads(done.stdout)["attempts"][0]["confidence"], done.stderr))
    assert told[0][1].startswith("training small\nsklearn scipy")
    assert told[1] == (told[0][0], "\n")


async def test_data_parameters_and_versions_count(tiers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, trained = await answer(tiers)
    assert trained == ["small"]
    assert await answer(tiers) == (first, [])
    tiers.write_text(TIERS.replace('"rows.csv"', '"rows.csv", c = 3'))
    assert (await answer(tiers))[1] == ["small"]
    tiers.write_text(TIERS)
    (tiers.parent / "rows.csv").write_text(ROWS.replace("end the plan", "end this plan"))
    assert (await answer(tiers))[1] == ["small"]
    (tiers.parent / "rows.csv").write_text(ROWS)
    assert await answer(tiers) == (first, [])
    for changed in ("costlab", "scikit-learn"):
        monkeypatch.setattr(fitted, "version", lambda library, changed=changed: "99" if library == changed else "1")
        assert await answer(tiers) == (first, ["small"])


class _Obeyed:
    """What a pickle could run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("it was run",)


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "other arrays", "pickle", "pickled array", "folder"])
async def test_a_damaged_file_is_fitted_again_and_runs_nothing(tiers: Path, damage: str) -> None:
    first, _ = await answer(tiers)
    (file,) = (tiers.parent / "kept").rglob("*.npz")
    content = file.read_bytes()
    middle = len(content) // 2
    with np.load(file) as arrays:
        kept = dict(arrays)
    if damage == "other arrays":
        np.savez(file, **kept | {"coef": kept["coef"][:, 1:]})
    elif damage == "pickled array":
        objects: Any = np.array([_Obeyed()] * 2, dtype=object)
        np.savez(file, **kept | {"classes": objects})
    elif damage == "folder":
        file.unlink()
        file.mkdir()
    else:
        file.write_bytes({
            "cut": content[:middle],
            "empty": b"",
            "changed": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
            "pickle": pickle.dumps(_Obeyed()),
        }[damage])  # fmt: skip
    assert await answer(tiers) == (first, ["small"])
    if damage != "folder":
        assert await answer(tiers) == (first, [])  # it was put right


async def test_where_nothing_can_be_kept_it_is_fitted_each_time(tiers: Path) -> None:
    (tiers.parent / "kept").write_text("no folder")
    for _ in range(2):
        assert (await answer(tiers))[1] == ["small"]


async def test_a_cache_is_asked_before_any_classifier_is_loaded(tiers: Path) -> None:
    class Remembered:
        def __init__(self, value: object) -> None:
            self.value = value

    class Full:
        async def get_or_call(self, request: object, call: object, **_: object) -> Remembered:
            return Remembered("remembered")

    class Empty:
        async def get_or_call(self, request: object, call: Any, **_: object) -> Remembered:
            return Remembered((await call(request)).value)

    found, trained = await answer(tiers, cache=Full())
    assert (found, trained) == (("remembered", None), [])
    assert (await answer(tiers, cache=Empty()))[1] == ["small"]
    assert (await answer(tiers, cache=Empty()))[1] == []
