"""Table files that are not what they say: each is one clear sentence, and no memory is harmed."""

from __future__ import annotations

import io
import shlex
import sys
from pathlib import Path

import fitsio
import h5py
import numpy as np
import pytest

from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.catalog import open_catalog

KINDS = [("OBJID", "i8"), ("RA", "f8"), ("DEC", "f8"), ("CUTOUT", "S60"), ("EBV", "f4")]


def table_file(path: Path, **changed: str) -> Path:
    """A table of 4 rows, with a card replaced, or put before the one of its name."""
    fitsio.write(str(path), np.zeros(4, KINDS), clobber=True)
    content = path.read_bytes()
    for keyword, value in changed.items():
        card = f"{keyword:<8}= {value:>20}".ljust(80).encode()
        start = content.index(f"{keyword:<8}=".encode(), 2880)
        content = content[:start] + card + content[start + 80 :]
    path.write_bytes(content)
    return path


def repeated(path: Path, keyword: str, value: str) -> Path:
    """A table with a second card of a name before the first."""
    content = table_file(path).read_bytes()
    card = f"{keyword:<8}= {value:>20}".ljust(80).encode()
    start = content.index(f"{keyword:<8}=".encode(), 2880)
    end = content.index(b"END" + b" " * 77, 2880)
    blank = content[end + 80 : end + 160]
    assert blank.isspace()
    path.write_bytes(content[:start] + card + content[start : end + 80] + content[end + 160 :])
    return path


def refusal_of(path: Path, monkeypatch: pytest.MonkeyPatch | None = None) -> str:
    """Why a table is refused, of a file or, with a patch, on standard input."""
    name = str(path)
    if monkeypatch is not None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
        name = "-"
    with pytest.raises(CatalogError) as caught, open_catalog(name, streaming=True) as catalog:
        catalog.read(0, catalog.n_rows)
    return caught.value.message


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("TFORM4", "'X'"), ("TFORM4", "'1A'"), ("TFIELDS", "3"), ("NAXIS1", "9"), ("PCOUNT", "0")],
)
def test_a_table_with_two_cards_for_one_length_is_refused_before_a_row_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keyword: str, value: str
) -> None:
    path = repeated(tmp_path / "twice.fits", keyword, value)
    for patch in (None, monkeypatch):
        assert any(word in refusal_of(path, patch) for word in ("damaged", "holds no table"))


def test_the_card_that_is_there_twice_is_named(tmp_path: Path) -> None:
    path = repeated(tmp_path / "twice.fits", "TFORM4", "'X'")
    assert refusal_of(path).endswith("is damaged: its header has TFORM4 more than once")


def test_a_table_without_columns_is_refused(tmp_path: Path) -> None:
    path = table_file(tmp_path / "none.fits", TFIELDS="0", NAXIS1="0")
    assert refusal_of(path).endswith("none.fits has no columns")


def test_a_header_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = table_file(tmp_path / "large.fits", TTYPE2="1E400")
    assert "large.fits is damaged" in refusal_of(path)


@pytest.mark.parametrize("width", ["-10000", "0", "1", "10000"])
def test_another_width_of_rows_is_told_of_files_and_of_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    path = table_file(tmp_path / "wide.fits", NAXIS1=width)
    refusal_of(path)
    refusal_of(path, monkeypatch)


def test_a_table_that_is_converted_does_not_replace_itself(tmp_path: Path) -> None:
    path = tmp_path / "my.fits"
    path.write_bytes(b"OBJID,RA\n1,2\n")
    with pytest.raises(CatalogError, match="is not a FITS file") as caught, open_catalog(str(path)):
        pass
    made = tmp_path / "my-table.fits"
    assert caught.value.hint.endswith(f"in={path} ifmt=csv ofmt=fits out={made}")


def test_semicolons_become_the_commas_that_stilts_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "my.csv"
    path.write_bytes(b"OBJID;RA\n1;2\n")
    with pytest.raises(CatalogError, match="is not a FITS file") as caught, open_catalog(str(path)):
        pass
    line = f"tr ';' ',' < {path} | stilts tpipe in=- ifmt=csv ofmt=fits out={tmp_path / 'my.fits'}"
    assert caught.value.hint.endswith(f": {line}")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    with pytest.raises(CatalogError, match="standard input is not") as caught, open_catalog("-"):
        pass
    assert caught.value.hint.endswith(": tr ';' ',' | stilts tpipe in=- ifmt=csv ofmt=fits out=-")


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n", b"<!doctype html>", b"%PDF-1.7", b'{"a": 1}', b"\xff\xd8\xff\xe0"]
)
def test_what_is_no_table_comes_without_a_line_that_converts_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "my.fits"
    path.write_bytes(content)
    with pytest.raises(CatalogError, match="is not a FITS file") as caught, open_catalog(str(path)):
        pass
    assert "stilts" not in caught.value.hint
    assert "name a table" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("my table.csv", b"OBJID,RA\n1,2\n", "csv"),
        ("t.tsv", b"OBJID\tRA\n1\t2\n", "tst"),
        ("t.txt", b"1 2 3\n", "ascii"),
    ],
)
def test_a_table_of_another_kind_comes_with_the_line_that_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, kind: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CatalogError, match="is not a FITS file") as caught, open_catalog(str(path)):
        pass
    words = shlex.split(caught.value.hint.partition(": ")[2])
    made = path.with_suffix(".fits")
    assert words == ["stilts", "tpipe", f"in={path}", f"ifmt={kind}", "ofmt=fits", f"out={made}"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(CatalogError, match="standard input is not") as caught, open_catalog("-"):
        pass
    assert "in=- " in caught.value.hint
    assert caught.value.hint.endswith("out=-")


def test_hdf5_is_no_table_to_convert(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "z.hdf5", "w") as file:
        file["images"] = np.zeros(3)
    path = str(tmp_path / "z.hdf5")
    with pytest.raises(CatalogError, match=r"none of qp.s") as caught, open_catalog(path):
        pass
    assert "an archive is named without brackets" in caught.value.hint
