import pytest

from costlab.lessons import banner, recorded, reveal


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        (None, "computed: 5,818 USD (you did not guess"),
        (5800, "within 10 %: well guessed"),
        (11_635, "2.0 times too high"),
        (581, "10.0 times too low"),
        (0, "far off"),
        (-5, "not even the same sign"),
        ("many", "your guess was not a number: 'many'"),
        (float("nan"), "your guess was not a number: nan"),
    ],
)
def test_guess_beside_the_answer(capsys: pytest.CaptureFixture[str], guess: object, said: str) -> None:
    reveal(guess, 5817.6, "USD")  # type: ignore[arg-type]
    assert said in capsys.readouterr().out


def test_zero_guessed_right(capsys: pytest.CaptureFixture[str]) -> None:
    reveal(0, 0, "points")
    assert "right" in capsys.readouterr().out


def test_banner_says_what_is_live(capsys: pytest.CaptureFixture[str]) -> None:
    banner(live="all", recorded="one figure")
    out = capsys.readouterr().out
    assert "live here: all" in out
    assert "from recordings: one figure" in out


def test_an_absent_recording_is_said_to_be_absent(capsys: pytest.CaptureFixture[str]) -> None:
    recorded("device", "no-such-gpu")
    out = capsys.readouterr().out
    assert "not recorded yet" in out
    assert "costlab bench device --record" in out
