"""A file is there whole or as it was before, whatever ends the writing."""

import os
from pathlib import Path

import pytest

from costlab._internal.atomic_write import atomic_write


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_made_and_replaced_with_the_rights_that_a_file_has(tmp_path: Path) -> None:
    path, plain = tmp_path / "page.html", tmp_path / "plain"
    plain.write_text("")
    for text in ("first", "second"):
        with atomic_write(path) as file:
            assert file != path
            file.write_text(text)
        assert path.read_text() == text
        assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o600)
    with atomic_write(path) as file:
        file.write_text("third")
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["page.html", "plain"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_there_stays_where_the_writing_ends_early(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")

    def write_half() -> None:
        with atomic_write(path) as file:
            file.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["page.html"]


def test_a_link_goes_on_pointing_to_its_file(tmp_path: Path) -> None:
    goal, link = tmp_path / "goal", tmp_path / "link"
    goal.write_text("old")
    link.symlink_to(goal)
    with atomic_write(link) as file:
        file.write_text("new")
    assert link.is_symlink()
    assert goal.read_text() == "new"


def test_a_folder_and_a_folder_that_is_not_there_are_refused_before_the_work(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent" / "page.html"):
        with pytest.raises(OSError, match=r"is a folder|No such file"), atomic_write(path):
            pytest.fail("the block was entered")
    assert names(tmp_path) == []


def test_a_device_is_written_to_and_not_replaced() -> None:
    with atomic_write(Path(os.devnull)) as file:
        file.write_text("gone")
    assert not Path(os.devnull).is_file()
