"""Catalogues in other formats than FITS: the same table is read whichever it is in."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.registry import get_formats
from astropy.table import Column, MaskedColumn, Table
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError, MissingExtraError
from photoz_ssl.survey.catalog import Catalog, open_catalog
from photoz_ssl.survey.exchange import parquet, text_reader
from photoz_ssl.survey.exchange.formats import TableLayout, exchange_file
from photoz_ssl.survey.exchange.reading import format_of_file
from photoz_ssl.survey.tables.headers import TableColumn
from tests.conftest import damaged

N = 25_000
MISSING = -(1 << 31)


def galaxies(n: int = 5) -> Table:
    """A table with whatever the formats have in common; every third value is missing."""
    gone = np.arange(n) % 3 == 1
    table = Table()
    table["OBJID"] = 2**60 + np.arange(n)
    table["RA"], table["DEC"] = np.linspace(0, 359, n), np.linspace(-30, 60, n)
    table["RA"].unit = table["DEC"].unit = "deg"
    table["RA"].meta["ucd"], table["RA"].description = "pos.eq.ra;meta.main", "Right ascension"
    table["NAME"] = [f"galaxy {'β' if row == 2 else row}" for row in range(n)]
    table["MAG"] = MaskedColumn(np.linspace(14, 18, n).astype("f4"), mask=gone)
    table["COUNT"] = MaskedColumn(np.arange(n, dtype="i2"), mask=gone)
    table["OK"] = np.arange(n) % 2 == 0
    return table


def as_votable(table: Table, path: Path) -> None:
    table.write(path, format="votable")


def as_binary_votable(table: Table, path: Path) -> None:
    table.write(path, format="votable", tabledata_format="binary2")


def as_ecsv(table: Table, path: Path) -> None:
    table.write(path, format="ascii.ecsv")


def as_parquet(table: Table, path: Path) -> None:
    def field(name: str, values: Any) -> Any:
        column = table[name]
        told = {
            "unit": str(column.unit or ""),
            "ucd": column.meta.get("ucd", ""),
            "description": column.description or "",
        }
        return pa.field(name, values.type, metadata=told)

    arrays = {
        name: pa.array(list(table[name]), mask=np.ma.getmaskarray(table[name]))
        if table[name].dtype.kind == "U"
        else pa.array(np.ma.getdata(table[name]), mask=np.ma.getmaskarray(table[name]))
        for name in table.colnames
    }
    fields = [field(name, values) for name, values in arrays.items()]
    pq.write_table(pa.Table.from_arrays(list(arrays.values()), schema=pa.schema(fields)), path)


Writer = Callable[[Table, Path], None]
WRITERS = pytest.mark.parametrize("write", [as_votable, as_binary_votable, as_ecsv, as_parquet])


def read_all(catalog: Catalog) -> NDArray[np.void]:
    starts = range(0, catalog.n_rows, 1000)
    return np.concatenate([catalog.read(s, min(s + 1000, catalog.n_rows)) for s in starts])


def refusal_of(path: Path) -> CatalogError:
    with pytest.raises(CatalogError) as caught, open_catalog(str(path)):
        pass
    assert "\n" not in caught.value.message
    return caught.value


# what is read


@WRITERS
def test_a_table_is_the_same_in_each_format(tmp_path: Path, write: Writer) -> None:
    table = galaxies(N)
    write(table, tmp_path / "cat")
    with open_catalog(str(tmp_path / "cat")) as catalog:
        rows = read_all(catalog)
        assert catalog.names == tuple(table.colnames)
        assert catalog.null("COUNT") == MISSING
        assert catalog.position_columns() == ("RA", "DEC")
        assert catalog.id_column() == "OBJID"
        assert catalog.cards["RA"]["TUNIT"] == "deg"
        assert catalog.cards["RA"]["TUCD"] == "pos.eq.ra;meta.main"
        assert catalog.cards["RA"]["TCOMM"] == "Right ascension"
    gone = np.arange(N) % 3 == 1
    for name in ("OBJID", "RA", "DEC", "OK"):
        np.testing.assert_array_equal(rows[name], table[name])
    np.testing.assert_array_equal(np.isnan(rows["MAG"]), gone)
    np.testing.assert_array_equal(rows["MAG"][~gone], np.linspace(14, 18, N, dtype="f4")[~gone])
    np.testing.assert_array_equal(
        rows["COUNT"], np.where(gone, MISSING, np.ma.getdata(table["COUNT"]).astype("i4"))
    )
    assert rows["NAME"][[0, 2]].tolist() == [b"galaxy 0", rb"galaxy \u03b2"]


@WRITERS
def test_ids_that_differ_in_other_letters_stay_different(tmp_path: Path, write: Writer) -> None:
    table = Table({"OBJID": ["galé", "galè", "ESO 137−G1"], "RA": [1.0, 2.0, 3.0]})
    write(table, tmp_path / "cat")
    with open_catalog(str(tmp_path / "cat")) as catalog:
        ids = read_all(catalog)["OBJID"].tolist()
    assert ids == [rb"gal\xe9", rb"gal\xe8", rb"ESO 137\u2212G1"]


@pytest.mark.parametrize("kind", ["parquet", "parquet.votable"])
def test_units_of_astropys_parquet_and_of_voparquet_are_kept(tmp_path: Path, kind: str) -> None:
    table = Table({"RA": [1.0], "DEC": [0.5], "MAG": [17.0]}, units=["rad", "rad", "mag"])
    table["MAG"].meta["ucd"], table["MAG"].description = "phot.mag", "Magnitude in r"
    about = {"utype": "", "ucd": "phot.mag", "description": "Magnitude in r"}
    told = {name: {"unit": str(table[name].unit), **about} for name in table.colnames}
    options = {"metadata": told} if kind == "parquet.votable" else {}
    if kind not in get_formats(Table, readwrite="Write")["Format"]:
        pytest.skip("this astropy writes no VOParquet")
    table.write(tmp_path / "t", format=kind, **options)
    with open_catalog(str(tmp_path / "t")) as catalog:
        assert catalog.degrees(catalog.read(0, 1), "RA")[0] == pytest.approx(np.degrees(1.0))
        of_mag = catalog.cards["MAG"]
    assert (of_mag["TUNIT"], of_mag["TUCD"]) == ("mag", "phot.mag")
    assert of_mag["TCOMM"] == "Magnitude in r"


@pytest.mark.parametrize("key", [b"IVOA.VOTable-Parquet.content", b"table_meta_yaml"])
@pytest.mark.parametrize("content", [b"", b"<VOTABLE/>", b"{", b"- 1", b"<!ENTITY a 'b'>\xff"])
def test_metadata_of_parquet_that_make_no_sense_are_passed_over(
    tmp_path: Path, key: bytes, content: bytes
) -> None:
    table = pa.table({"RA": [10.0]}).replace_schema_metadata({key: content})
    pq.write_table(table, tmp_path / "t")
    with open_catalog(str(tmp_path / "t")) as catalog:
        assert catalog.read(0, 1)["RA"].tolist() == [10.0]


@WRITERS
def test_rows_are_selected_as_of_a_fits_table(tmp_path: Path, write: Writer) -> None:
    write(galaxies(), tmp_path / "cat[2].tab")
    with open_catalog(f"{tmp_path / 'cat[2].tab'}[1][MAG > 13 && OK]") as catalog:
        assert read_all(catalog)["OBJID"].tolist() == [2**60, 2**60 + 2]


@WRITERS
def test_standard_input_may_be_of_any_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Writer
) -> None:
    write(galaxies(), tmp_path / "cat")
    for name, streaming, n_rows in (("-", False, 5), ("-", True, 5), ("-[1][#row < 3]", False, 2)):
        piped = io.TextIOWrapper(io.BytesIO((tmp_path / "cat").read_bytes()))
        monkeypatch.setattr(sys, "stdin", piped)
        with open_catalog(name, streaming=streaming) as catalog:
            assert catalog.n_rows == n_rows


@WRITERS
def test_packed_tables_are_unpacked_first(tmp_path: Path, write: Writer) -> None:
    write(galaxies(), tmp_path / "cat")
    (tmp_path / "cat.gz").write_bytes(gzip.compress((tmp_path / "cat").read_bytes()))
    with open_catalog(str(tmp_path / "cat.gz")) as catalog:
        assert read_all(catalog)["OBJID"].tolist() == [2**60 + row for row in range(5)]


@pytest.mark.parametrize(
    "kind", ["votable-tabledata", "votable-binary-inline", "votable-binary2-inline", "ecsv"]
)
def test_what_stilts_writes_is_read(tmp_path: Path, kind: str) -> None:
    stilts = shutil.which("stilts")
    if stilts is None:
        pytest.skip("stilts is not installed")
    table = galaxies(20)
    as_votable(table, tmp_path / "in.vot")
    output = tmp_path / "out"
    subprocess.run(
        [stilts, "tpipe", f"in={tmp_path / 'in.vot'}", f"ofmt={kind}", f"out={output}"],
        check=True,
        capture_output=True,
    )
    with open_catalog(str(output)) as catalog:
        rows = read_all(catalog)
        assert catalog.cards["RA"]["TUNIT"] == "deg"
    gone = np.arange(20) % 3 == 1
    for name in ("OBJID", "RA", "DEC", "OK"):
        np.testing.assert_array_equal(rows[name], table[name])
    np.testing.assert_array_equal(np.isnan(rows["MAG"]), gone)
    np.testing.assert_array_equal(rows["COUNT"] == np.iinfo(rows["COUNT"].dtype).min, gone)


@pytest.mark.parametrize("kind", ["votable", "ecsv", "parquet"])
def test_what_we_write_is_read_back(tmp_path: Path, kind: str) -> None:
    dtype = np.dtype([("ID", "i8"), ("N", "u2"), ("NAME", "S4"), ("OK", "?"), ("Z", "f4")])
    columns = [TableColumn("ID", ucd="meta.id;meta.main"), TableColumn("N", null=-32768 + 7)]
    columns += [
        TableColumn("NAME"),
        TableColumn("OK"),
        TableColumn("Z", "", "src.redshift", "Redshift"),
    ]
    rows = np.zeros(9, dtype)
    rows["ID"], rows["N"], rows["Z"] = np.arange(9) - 4, np.arange(9), np.linspace(0, 1, 9)
    rows["NAME"], rows["OK"], rows["Z"][3] = (
        [b"a<&,", b""] * 4 + [b"b"],
        [True, False, False] * 3,
        np.nan,
    )
    layout = TableLayout(name="T", n_rows=9, columns=columns, dtype=dtype, cards=(), pdf_form=None)
    with exchange_file(tmp_path / "t", kind, layout) as writer:
        writer.append(rows, None)
    with open_catalog(str(tmp_path / "t")) as catalog:
        again = read_all(catalog)
        assert catalog.redshift_columns()[0] == "Z"
        assert catalog.null("N") == MISSING
    for name in ("ID", "NAME", "OK", "Z"):
        np.testing.assert_array_equal(again[name], rows[name])
    assert again["N"].tolist() == [0, 1, 2, 3, 4, 5, 6, MISSING, 8]


def test_what_parquet_has_besides(tmp_path: Path) -> None:
    table = pa.table(
        {
            "when": pa.array(np.array(["2020-01-02T03:04:05", "NaT"], "M8[s]")),
            "class": pa.array(["spiral", None]).dictionary_encode(),
            "bytes": pa.array([b"ab", b"c"]),
            "blob": pa.array([b"\xff\xfe", b"c"]),
            "long": pa.array(["x" * 5000, "y"]),
            "half": pa.array(np.array([1.5, 2], np.float16)),
            "list": pa.array([[1.0], [2.0, 3.0]]),
            "nothing": pa.nulls(2),
            "large": pa.array([2**64 - 1, 0], pa.uint64()),
            "time": pa.array([1_000_000, None], pa.time64("us")),
            "price": pa.array([Decimal("1.25"), None], pa.decimal128(10, 2)),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    with open_catalog(str(tmp_path / "t.parquet")) as catalog:
        assert catalog.names == ("when", "class", "bytes", "half", "large", "time", "price")
        assert catalog.left_out == ("blob", "long", "list", "nothing")
        first, second = read_all(catalog).tolist()
    when, *others = first
    assert when == b"2020-01-02 03:04:05.000"
    assert others == [b"spiral", b"ab", 1.5, 2**64 - 1, b"00:00:01.000000", 1.25]
    assert second[:-1] == (b"", b"", b"c", 2.0, 0, b"")
    assert np.isnan(second[-1])


@pytest.mark.skipif(not hasattr(pa.types, "is_string_view"), reason="this pyarrow has no views")
def test_texts_of_parquet_may_be_views(tmp_path: Path) -> None:
    table = pa.table({"name": pa.array(["ab", None], pa.string_view())})
    pq.write_table(table, tmp_path / "t")
    with open_catalog(str(tmp_path / "t")) as catalog:
        assert read_all(catalog)["name"].tolist() == [b"ab", b""]


@pytest.mark.parametrize("kind", [pa.uint64(), pa.decimal128(20, 0)])
def test_large_unsigned_integers_keep_their_values_beside_missing_ones(
    tmp_path: Path, kind: Any
) -> None:
    values = [2**63 + 12345, None, 2**63, 0]
    pq.write_table(pa.table({"id": pa.array(values, kind)}), tmp_path / "t")
    with open_catalog(str(tmp_path / "t")) as catalog:
        found = read_all(catalog)["id"]
        null = catalog.null("id")
    assert [None if value == null else value for value in found.tolist()] == values


@pytest.mark.parametrize("precision", [18, 19, 38])
def test_whole_decimals_are_integers(tmp_path: Path, precision: int) -> None:
    ids = [587722981742084145, -1, 587722981742084147]
    values = pa.array([Decimal(number) for number in ids], pa.decimal128(precision, 0))
    pq.write_table(pa.table({"OBJID": values}), tmp_path / "t")
    with open_catalog(str(tmp_path / "t")) as catalog:
        assert read_all(catalog)["OBJID"].tolist() == ids


def test_decimals_beyond_64_bits_are_floats(tmp_path: Path) -> None:
    values = pa.array([Decimal(10) ** 30, None], pa.decimal128(38, 0))
    pq.write_table(pa.table({"x": values}), tmp_path / "t")
    with open_catalog(str(tmp_path / "t")) as catalog:
        np.testing.assert_array_equal(read_all(catalog)["x"], [1e30, np.nan])


def test_the_masks_of_astropy_are_obeyed_in_parquet(tmp_path: Path) -> None:
    table = Table({"RA": [1.0, 2.0, 3.0], "plain.mask": [True, False, True]})
    table["EBV"] = MaskedColumn([0.9, 0.1, 0.2], mask=[True, False, False])
    table["N"] = MaskedColumn(np.array([7, 8, 9], "i2"), mask=[False, True, False])
    table["NAME"] = MaskedColumn(["a", "b", "c"], mask=[False, False, True])
    table.write(tmp_path / "t", format="parquet")
    with open_catalog(str(tmp_path / "t")) as catalog:
        rows, null = read_all(catalog), catalog.null("N")
        assert set(catalog.names) == {"RA", "plain.mask", "EBV", "N", "NAME"}
    np.testing.assert_array_equal(rows["EBV"], [np.nan, 0.1, 0.2])
    assert rows["N"].tolist() == [7, null, 9]
    assert rows["NAME"].tolist() == [b"a", b"b", b""]


def test_names_that_are_too_long_for_fits_are_cut(tmp_path: Path) -> None:
    as_parquet(Table({"L" * 69: [1.0], "L" * 70: [2.0], "M" * 68: [3.0]}), tmp_path / "t")
    with open_catalog(str(tmp_path / "t")) as catalog:
        assert catalog.names == ("L" * 68, "L" * 62 + "_2", "M" * 68)
        assert catalog.read(0, 1).tolist() == [(1.0, 2.0, 3.0)]


def test_images_are_read_from_ecsv(tmp_path: Path) -> None:
    images = np.random.default_rng(0).normal(size=(2, 5, 64, 64)).astype(np.float32)
    as_ecsv(Table({"IMAGE": Column(images, unit="uJy")}), tmp_path / "cat.ecsv")
    usual = csv.field_size_limit()
    with open_catalog(str(tmp_path / "cat.ecsv")) as catalog:
        np.testing.assert_array_equal(catalog.read(0, 2)["IMAGE"], images)
        assert catalog.cards["IMAGE"]["TUNIT"] == "uJy"
    assert csv.field_size_limit() == usual


def test_columns_that_are_no_numbers_or_text_are_left_out_of_ecsv(tmp_path: Path) -> None:
    table = galaxies()
    table["PLACE"] = SkyCoord(table["RA"], table["DEC"])
    table["LIST"] = np.array([[1], [1, 2], [], [3], [4]], dtype=object)
    table["V"] = np.arange(10.0).reshape(5, 2)
    as_ecsv(table, tmp_path / "cat.ecsv")
    with open_catalog(str(tmp_path / "cat.ecsv")) as catalog:
        assert set(catalog.names) == {*galaxies().colnames, "V"}
        np.testing.assert_array_equal(read_all(catalog)["V"], table["V"])


def test_names_that_differ_by_case_alone_are_told_apart(tmp_path: Path) -> None:
    as_parquet(Table({"z": [1.0], "Z": [2.0], "é": [3.0]}), tmp_path / "t")
    with open_catalog(str(tmp_path / "t")) as catalog:
        assert catalog.names == ("z", "Z_2", "?")
        assert catalog.read(0, 1).tolist() == [(1.0, 2.0, 3.0)]


# what is refused


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"# ECSV", b"a,b\n", b"SIMPLE  = T", b"<?xml?>"]
)
def test_files_of_no_such_format(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    assert format_of_file(tmp_path / "t") is None
    assert format_of_file(tmp_path / "absent") is None
    assert format_of_file(tmp_path) is None


@WRITERS
def test_a_table_without_rows(tmp_path: Path, write: Writer) -> None:
    write(galaxies(3), tmp_path / "full")
    write(galaxies(3)[:0], tmp_path / "cat")
    assert refusal_of(tmp_path / "cat").message.endswith("cat has no rows")
    with (
        open_catalog(str(tmp_path / "full")) as full,
        open_catalog(str(tmp_path / "cat"), may_be_empty=True) as none,
    ):
        assert none.n_rows == 0
        assert none.names == full.names
        assert [none.dtype[name].kind for name in none.names] == [
            full.dtype[name].kind for name in full.names
        ]


def test_texts_that_pandas_wrote_of_no_row_are_texts(tmp_path: Path) -> None:
    pq.write_table(pa.table({"CUTOUT": pa.nulls(0)}), tmp_path / "t")
    with open_catalog(str(tmp_path / "t"), may_be_empty=True) as catalog:
        assert catalog.dtype["CUTOUT"].kind == "S"


@WRITERS
def test_damage_is_told_in_a_sentence(tmp_path: Path, write: Writer) -> None:
    write(galaxies(200), tmp_path / "cat")
    refused = 0
    for content in damaged((tmp_path / "cat").read_bytes(), 40):
        (tmp_path / "bad").write_bytes(content)
        with suppress(CatalogError), open_catalog(str(tmp_path / "bad")) as catalog:
            read_all(catalog)
            refused -= 1
        refused += 1
    assert refused > 10


def votable(middle: str, before: str = "") -> bytes:
    return (
        f"<?xml version='1.0'?>{before}<VOTABLE version='1.4'"
        f" xmlns='http://www.ivoa.net/xml/VOTable/v1.3'><RESOURCE>{middle}</RESOURCE></VOTABLE>"
    ).encode()


def test_a_votable_is_not_fetched_from_elsewhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(base64.b64encode(np.arange(4.0).tobytes()))
    for href in (f'href="file://{secret}"', f"a='>' href = 'file://{secret}'"):
        stream = f'<STREAM encoding="base64" {href}/>'
        field = '<FIELD name="RA" datatype="double"/>'
        (tmp_path / "t.vot").write_bytes(
            votable(f"<TABLE>{field}<DATA><BINARY>{stream}</BINARY></DATA></TABLE>")
        )
        assert "its rows are in another file" in refusal_of(tmp_path / "t.vot").message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            votable("", "<!DOCTYPE V [<!ENTITY a \"<STREAM href='file:///a'/>\">]>"),
            "defines entities",
        ),
        (votable('<TABLE nrows="99999999999"></TABLE>'), "promises more"),
        (
            votable('<TABLE><FIELD name="a" datatype="int" arraysize="9999x9999"/></TABLE>'),
            "promises",
        ),
        (
            votable('<TABLE><FIELD name="a" datatype="char" arraysize="5x2"/></TABLE>'),
            "cannot be read as votable: Invalid size specifier",
        ),
        (votable("<TABLE><DATA><FITS/></DATA></TABLE>"), "its rows are a FITS file inside"),
        (votable("<TABLE></TABLE>"), "has no columns"),
        (votable(""), "cannot be read as votable"),
        (votable("<TABLE>"), "cannot be read as votable"),
    ],
)
def test_votables_that_are_traps_or_empty(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "t.vot").write_bytes(content)
    assert words in refusal_of(tmp_path / "t.vot").message


def test_text_that_is_too_large_to_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_reader, "LARGEST_FILE", 1 << 10)
    for write, kind in ((as_ecsv, "ecsv"), (as_votable, "votable")):
        path = tmp_path / f"t.{kind}"
        write(galaxies(100), path)
        line = f"stilts tpipe in={path} ifmt={kind} ofmt=fits out={tmp_path / 't.fits'}"
        assert refusal_of(path).hint.endswith(f"or convert it: {line}")


def test_parquet_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, *, extra: str, purpose: str) -> None:
        raise MissingExtraError(module, extra, purpose)

    as_parquet(galaxies(), tmp_path / "t")
    monkeypatch.setattr(parquet, "import_extra", missing)
    with (
        pytest.raises(MissingExtraError, match="reading Parquet"),
        open_catalog(str(tmp_path / "t")),
    ):
        pass
