"""Folders are emptied of our own files alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from photoz_ssl.errors import OutputError
from photoz_ssl.folders import remove_own, require_own

OWN = re.compile(r"(\d+/)*\d+\.h5")


def with_files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_our_own_files_and_what_was_left_of_some_are_removed_with_their_folders(
    tmp_path: Path,
) -> None:
    folder = with_files(tmp_path / "run", "1.h5", "2/3/4.h5", "2/.5.0123abcd.part.h5")
    require_own(folder, OWN, "a run")
    remove_own(folder, OWN)
    assert list(folder.iterdir()) == []
    with_files(folder, "1.h5", "2/3.h5", "2/thesis.tex")
    remove_own(folder, OWN)
    assert {*folder.rglob("*")} == {folder / "2", folder / "2/thesis.tex"}


def test_a_link_to_a_folder_is_no_file_of_ours(tmp_path: Path) -> None:
    folder = with_files(tmp_path / "run", "1.h5")
    (folder / "link").symlink_to(with_files(tmp_path / "2", "3.h5"))
    with pytest.raises(OutputError, match="holds other files than those of a run: link"):
        require_own(folder, OWN, "a run")
    remove_own(folder, OWN)
    assert (folder / "link/3.h5").exists()
