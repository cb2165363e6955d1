"""What tells one input from another."""

from __future__ import annotations

import os
from pathlib import Path

from photoz_ssl.fingerprints import (
    file_and_selection,
    fingerprint_of,
    fingerprint_of_input,
    sha256_of,
    spelled,
)


def test_sha256_of_known_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert sha256_of(path).startswith("ba7816bf8f01cfea")


def test_brackets_of_a_file_that_is_there_are_its_own(tmp_path: Path) -> None:
    name = str(tmp_path / "b[2].fits")
    assert file_and_selection(f"{name}[1]") == (str(tmp_path / "b"), "[2].fits[1]")
    Path(name).write_bytes(b"content")
    assert file_and_selection(name) == (name, "")
    assert file_and_selection(f"{name}[1][R < 'a[3]']") == (name, "[1][R < 'a[3]']")
    assert file_and_selection("-[1]") == ("-", "[1]")
    assert fingerprint_of_input(f"{name}[1]") == fingerprint_of(Path(name))


def test_a_fingerprint_tells_another_end_and_another_length(tmp_path: Path) -> None:
    prints, size = set(), 10_000_000
    for place, length in ((0, size), (1, size), (size - 1, size), (0, size - 1), (0, size)):
        with (tmp_path / "file").open("wb") as file:
            file.truncate(length)
            file.seek(place)
            file.write(b"\0" if place == 0 else b"1")
        prints.add(fingerprint_of(tmp_path / "file"))
    assert len(prints) == 4  # the last is the first again


def test_names_of_files_in_other_encodings_are_spelled_in_letters() -> None:
    assert spelled(os.fsdecode(b"caf\xe9.h5")) == "caf?.h5"
    assert spelled("café.h5") == "café.h5"
