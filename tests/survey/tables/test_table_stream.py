"""Tables through pipes: the rows of a file, and no more waiting than their order demands."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.catalog import open_catalog
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.table_stream import TableStream, open_stream
from photoz_ssl.survey.tables.writer import write_table

KINDS = [("ID", "i8"), ("OK", "?"), ("U", "u2"), ("NAME", "S5"), ("IMAGE", "f4", (2, 3))]
DTYPE = np.dtype(KINDS)


def rows(n: int = 100) -> NDArray[np.void]:
    table = np.zeros(n, DTYPE)
    table["ID"], table["OK"], table["U"] = np.arange(n), np.arange(n) % 3 == 0, 60_000
    table["NAME"] = [f"g{number}".encode() for number in range(n)]
    table["IMAGE"] = np.random.default_rng(0).standard_normal((n, 2, 3))
    return table


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """A FITS file with an image before its table."""
    path = tmp_path / "cat.fits"
    with fitsio.FITS(str(path), "rw") as file:
        file.write(np.ones((4, 5), np.float32))
        file.write(rows(), header={"TUCD1": "meta.id;meta.main"})
    return path.read_bytes()


class Pipe(io.RawIOBase):
    """Bytes that can be read once, and a count of those that were."""

    def __init__(self, content: bytes) -> None:
        self.rest, self.n_read = io.BytesIO(content), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        part = self.rest.read(min(len(view), 100))
        view[: len(part)] = part
        self.n_read += len(part)
        return len(part)


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], Pipe]:
    """What puts bytes on standard input."""

    def put(content: bytes) -> Pipe:
        pipe = Pipe(content)
        buffered = io.BufferedReader(pipe, 200)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(buffered))
        return pipe

    return put


def test_rows_from_a_pipe_are_those_of_the_file(
    content: bytes, piped: Callable[[bytes], Pipe]
) -> None:
    piped(content)
    with open_catalog("-", streaming=True) as catalog:
        assert catalog.n_rows == 100
        assert catalog.cards["ID"]["TUCD"] == "meta.id;meta.main"
        blocks = [catalog.read(start, start + 30) for start in range(0, 100, 30)]
    np.testing.assert_array_equal(np.concatenate(blocks), rows())


def test_no_row_is_waited_for_before_it_is_asked_for(
    content: bytes, piped: Callable[[bytes], Pipe]
) -> None:
    pipe = piped(content)
    with open_catalog("-", streaming=True) as catalog:
        first = catalog.read(0, 10)
        assert pipe.n_read < len(content) - 60 * DTYPE.itemsize
        np.testing.assert_array_equal(catalog.read(0, 20)[:10], first)
        np.testing.assert_array_equal(catalog.read(20, 40), rows()[20:40])
        with pytest.raises(CatalogError, match="cannot be read"):
            catalog.read(0, 10)


@pytest.mark.parametrize("kept", [0, 100, 2880, 7000])
def test_a_head_that_is_cut_is_one_clear_sentence(
    kept: int, content: bytes, piped: Callable[[bytes], Pipe]
) -> None:
    piped(content[:kept])
    with pytest.raises(CatalogError), open_catalog("-", streaming=True):
        pass


def test_fewer_rows_than_none_are_damage(content: bytes, piped: Callable[[bytes], Pipe]) -> None:
    piped(content.replace(b"NAXIS2  =                  100", b"NAXIS2  =                   -5"))
    refused = pytest.raises(CatalogError, match="truncated or damaged")
    with refused, open_catalog("-", streaming=True, may_be_empty=True):
        pass


def test_rows_that_do_not_come_are_told(content: bytes, piped: Callable[[bytes], Pipe]) -> None:
    end = content.index(b"XTENSION= 'BINTABLE'") + 2880 + 40 * DTYPE.itemsize
    piped(content[:end])
    with open_catalog("-", streaming=True) as catalog:
        catalog.read(0, 20)
        with pytest.raises(CatalogError, match=r"ends in row \d+ of the 100 that"):
            catalog.read(20, 100)


def test_text_that_is_not_ascii_is_told_of_a_stream(
    tmp_path: Path, piped: Callable[[bytes], Pipe]
) -> None:
    named = np.array([(1, b"a"), (2, b"Bode")], [("OBJID", "i8"), ("NAME", "S8")])
    fitsio.write(str(tmp_path / "names.fits"), np.zeros((3, 3)), clobber=True)
    fitsio.write(str(tmp_path / "names.fits"), named, extname="GAL")
    fitsio.write(str(tmp_path / "names.fits"), named, extname="MORE")
    sent = (tmp_path / "names.fits").read_bytes().replace(b"Bode", b"B\xf6de")
    piped(sent)
    told = pytest.raises(CatalogError, match=r"rows 1 to 2 of .* not ASCII, in NAME")
    with open_catalog("-", streaming=True) as catalog, told as caught:
        catalog.read(0, 2)
    _, selected, _ = caught.value.hint.split("'")
    piped(sent)
    with open_catalog(selected) as catalog:
        assert catalog.names == ("OBJID",)


def test_what_is_no_stream_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "varying.fits"
    table = np.zeros(3, [("ID", "i8"), ("LIST", "O")])
    table["LIST"] = [np.arange(n, dtype="f4") for n in (1, 2, 3)]
    fitsio.write(str(path), table)
    for content in (path.read_bytes(), b"hello\n", b"\x1f\x8b" + b"x" * 9000, b""):
        file = io.BytesIO(content)
        stream, seen = open_stream(file, tmp_path)
        assert stream is None
        assert seen + file.read() == content


def test_the_bytes_down_a_pipe_are_those_of_a_file_but_for_the_sums(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    columns = [TableColumn(name, description=f"Column {name}") for name in DTYPE.names or ()]
    with write_table(str(tmp_path / "a.fits"), extname="T", columns=columns, dtype=DTYPE) as table:
        table.append(rows())
    stream = TableStream(tmp_path).table("T", columns, DTYPE, n_rows=100)
    for start in range(0, 100, 30):
        stream.append(rows()[start : start + 30])
    sent = capfdbinary.readouterr().out
    expected = (tmp_path / "a.fits").read_bytes()
    assert len(sent) == len(expected)
    differing = {
        place // 80
        for place, pair in enumerate(zip(sent, expected, strict=True))
        if len({*pair}) > 1
    }
    cards = {expected[80 * card : 80 * card + 8] for card in differing}
    assert cards == {b"CHECKSUM", b"DATASUM "}
