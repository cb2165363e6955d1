"""FITS tables: what is written is read back, says what it is, and appears whole or not at all."""

from __future__ import annotations

import gzip
import io
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from photoz_ssl.errors import ConfigError, OutputError
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.writer import TableFile, write_table, write_tables

COLUMNS = (
    TableColumn("OBJID", "", "meta.id;meta.main", "Object identifier", "I20", null=-1),
    TableColumn("RA", "deg", "pos.eq.ra;meta.main", "Right ascension", "F11.6"),
    TableColumn("NAME", description="A name " + "that goes on " * 12),
    TableColumn("FLUX", "nanomaggy", "phot.flux", "Flux in ugriz"),
    TableColumn("GOOD", description="Whether it is good"),
)
DTYPE = np.dtype(
    [("OBJID", "i8"), ("RA", "f8"), ("NAME", "U8"), ("FLUX", "f4", (5,)), ("GOOD", "?")]
)
CARDS = (
    ("PROGRAM", "photoz-ssl", "what made this"),
    ("MODEL", "a long name " * 20, "the model"),
    ("ZMAX", 0.4, "end of the grid"),
    ("NBINS", 180, "bins"),
    ("REAL", True, "whether it is real"),
)


def rows(n: int, start: int = 0) -> NDArray[np.void]:
    table = np.zeros(n, dtype=DTYPE)
    table["OBJID"] = start + np.arange(n)
    table["RA"] = np.linspace(0, 359, n) if n else []
    table["NAME"] = [f"galaxy{number % 10}" for number in range(n)]
    table["FLUX"] = np.arange(5)
    table["FLUX"][:1] = np.nan
    table["GOOD"] = table["OBJID"] % 2 == 0
    return table


def write(path: Path | str, *blocks: NDArray[np.void], overwrite: bool = False) -> None:
    with write_table(
        str(path),
        extname="PHOTOZ",
        columns=COLUMNS,
        dtype=DTYPE,
        cards=CARDS,
        overwrite=overwrite,
    ) as table:
        for block in blocks:
            table.append(block)
        table.write_card("DUST", "where the reddening is from, " * 9, "dust map")


@pytest.fixture
def fitsverify() -> str:
    program = shutil.which("fitsverify")
    if program is None:
        pytest.skip("fitsverify is not installed")
    return program


def test_rows_come_back_in_order_whatever_the_blocks(tmp_path: Path) -> None:
    whole = rows(1000)
    write(tmp_path / "t.fits", whole[:1], whole[1:400], whole[400:400], whole[400:])
    table = fitsio.read(tmp_path / "t.fits", ext="PHOTOZ")
    assert table["NAME"].dtype.kind in "SU"
    for name in ("OBJID", "RA", "FLUX", "GOOD"):
        np.testing.assert_array_equal(table[name], whole[name])
    assert [str(name).strip() for name in table["NAME"]] == list(whole["NAME"])


def test_every_column_says_what_it_is(tmp_path: Path) -> None:
    write(tmp_path / "t.fits", rows(3))
    header = fits.getheader(tmp_path / "t.fits", 1)
    for number, column in enumerate(COLUMNS, start=1):
        assert header[f"TTYPE{number}"] == column.name
        assert header.get(f"TUNIT{number}", "") == column.unit
        assert header.get(f"TUCD{number}", "") == column.ucd
        assert header.get(f"TCOMM{number}", "") == column.description.strip()
        assert header.get(f"TDISP{number}", "") == column.display
    assert header["TNULL1"] == -1


def test_long_cards_are_kept_with_those_written_last(tmp_path: Path) -> None:
    write(tmp_path / "t.fits", rows(3))
    header = fits.getheader(tmp_path / "t.fits", 1)
    assert header["MODEL"] == ("a long name " * 20).strip()
    assert header["DUST"] == ("where the reddening is from, " * 9).strip()
    assert header["ZMAX"] == 0.4
    assert header["REAL"] is True
    assert header.comments["NBINS"] == "bins"


def test_every_hdu_has_checksums_that_are_right(tmp_path: Path) -> None:
    write(tmp_path / "t.fits", rows(777))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(tmp_path / "t.fits", checksum=True) as hdus:
            assert all({"CHECKSUM", "DATASUM", "DATE"} <= set(hdu.header) for hdu in hdus)


def test_a_changed_byte_breaks_a_checksum(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    write(path, rows(777))
    damaged = bytearray(path.read_bytes())
    damaged[-3000] ^= 1
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match="verification failed"), fits.open(path, checksum=True):
        pass


def test_the_same_rows_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write(tmp_path / "one.fits", rows(50))
    write(tmp_path / "two.fits", rows(50)[:20], rows(50)[20:])
    assert (tmp_path / "one.fits").read_bytes() == (tmp_path / "two.fits").read_bytes()
    assert fits.getheader(tmp_path / "one.fits", 1)["DATE"] == "2023-11-14T22:13:20"


@pytest.mark.parametrize("name", ["cat (copy)[1].fits", "cat+2.fits", "!cat.fits"])
def test_a_path_is_a_path_and_not_cfitsio_syntax(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "my (galaxies)"
    folder.mkdir()
    write(folder / name, rows(3))
    assert [path.name for path in folder.iterdir()] == [name]
    with fits.open(folder / name) as hdus:
        assert len(hdus[1].data) == 3


def test_a_time_beyond_the_calendar_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for epoch in ("99999999999999", "9" * 400):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH=99999") as caught:
            write(tmp_path / "t.fits", rows(3))
        assert "unset it" in caught.value.hint


def test_a_name_ending_in_gz_is_compressed_and_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    write(tmp_path / "t.fits", rows(30))
    write(tmp_path / "t.fits.gz", rows(30))
    write(tmp_path / "again.fits.gz", rows(30))
    packed = (tmp_path / "t.fits.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "t.fits").read_bytes()
    assert packed == (tmp_path / "again.fits.gz").read_bytes()
    assert len(list(tmp_path.iterdir())) == 3


def test_an_existing_file_is_kept_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        write(path, rows(3))
    assert path.read_text() == "precious"
    write(path, rows(3), overwrite=True)
    assert len(fitsio.read(path)) == 3


def test_a_failure_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    path.write_text("precious")
    with (
        pytest.raises(KeyboardInterrupt),
        write_table(str(path), extname="A", columns=COLUMNS, dtype=DTYPE, overwrite=True) as table,
    ):
        table.append(rows(10))
        raise KeyboardInterrupt
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.fits"]
    assert path.read_text() == "precious"


def test_a_table_without_rows_is_a_table(tmp_path: Path) -> None:
    write(tmp_path / "t.fits", rows(0))
    with fits.open(tmp_path / "t.fits", checksum=True) as hdus:
        assert hdus["PHOTOZ"].columns.names == [column.name for column in COLUMNS]
        assert len(hdus["PHOTOZ"].data) == 0


def test_letters_that_fits_does_not_have_become_others(tmp_path: Path) -> None:
    table = rows(1)
    table["NAME"] = "Lukić"
    cards = [("AUTHOR", "Lukić: E(B−V)\nα", "café")]
    with write_table(
        str(tmp_path / "t.fits"), extname="A", columns=COLUMNS, dtype=DTYPE, cards=cards
    ) as writer:
        writer.append(table)
    with fits.open(tmp_path / "t.fits") as hdus:
        assert hdus[1].header["AUTHOR"] == "Lukic: E(B-V) ?"
        assert hdus[1].data["NAME"][0] == "Luki?"


def test_columns_must_be_those_of_the_dtype(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="not those of the dtype"),
        write_table(str(tmp_path / "t.fits"), extname="A", columns=COLUMNS[:2], dtype=DTYPE),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keyword", ["TOO_LONG_A", "lower", "A B"])
def test_a_keyword_that_fits_does_not_allow_is_refused(tmp_path: Path, keyword: str) -> None:
    with (
        pytest.raises(ValueError, match="FITS keyword"),
        write_table(
            str(tmp_path / "t.fits"),
            extname="A",
            columns=COLUMNS,
            dtype=DTYPE,
            cards=[(keyword, 1, "")],
        ),
    ):
        pass


def test_standard_output_gets_the_bytes_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stdout)
    write("-", rows(40))
    write(tmp_path / "t.fits", rows(40))
    assert stdout.buffer.getvalue() == (tmp_path / "t.fits").read_bytes()


def test_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(OutputError, match="terminal"):
        write("-", rows(1))


def test_tables_of_one_file_follow_each_other(tmp_path: Path) -> None:
    path = tmp_path / "t.fits"
    with write_tables(str(path)) as file:
        for name in ("ONE", "TWO", "THREE"):
            file.table(name, COLUMNS, DTYPE, CARDS).append(rows(2000))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(path, checksum=True) as hdus:
            assert [hdu.name for hdu in hdus] == ["PRIMARY", "ONE", "TWO", "THREE"]
            assert [len(hdu.data) for hdu in hdus[1:]] == [2000] * 3


def test_fitsverify_finds_nothing(tmp_path: Path, fitsverify: str) -> None:
    write(tmp_path / "t.fits", rows(2000))
    found = subprocess.run(
        [fitsverify, tmp_path / "t.fits"], capture_output=True, text=True, check=False
    )
    assert "found 0 warning(s) and 0 error(s)" in found.stdout, found.stdout


FILL_A_DISK = """
import resource, sys
import numpy as np
from photoz_ssl.errors import OutputError
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.writer import write_table
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
dtype = np.dtype([("X", "f8")])
try:
    with write_table(sys.argv[1], extname="A", columns=[TableColumn("X")], dtype=dtype) as table:
        for _ in range(20):
            table.append(np.zeros(10_000, dtype))
except OutputError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
@pytest.mark.parametrize("name", ["t.fits", "t.fits.gz", "t (1).fits"])
def test_a_full_disk_is_one_sentence_and_no_file(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FILL_A_DISK, tmp_path / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "could not be written" in done.stdout
    assert "free some space" in done.stdout
    assert not list(tmp_path.iterdir())


def test_a_file_that_came_out_too_short_is_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offsets = TableFile.offsets

    def longer(file: TableFile) -> list[tuple[int, int, int]]:
        *others, (header, data, end) = offsets(file)
        return [*others, (header, data, end + 2880)]

    monkeypatch.setattr(TableFile, "offsets", longer)
    with pytest.raises(OutputError, match="no space left"):
        write(tmp_path / "t.fits", rows(40))
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OutputError, match="no space left"):
            write("-", rows(3000))
        monkeypatch.undo()
