"""Other formats than FITS: what is written is read back by the libraries of those formats."""

from __future__ import annotations

import io
import subprocess
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io.votable import parse
from astropy.table import Table
from numpy.typing import NDArray

from photoz_ssl.errors import OutputError
from photoz_ssl.survey.exchange.formats import (
    TableLayout,
    exchange_file,
    format_of,
    notices_of_format,
)
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.manifest import PdfRows, pdf_rows
from photoz_ssl.survey.tables.pdf_form import PdfForm

KINDS = [
    ("OBJID", "<i8"),
    ("NAME", "S8"),
    ("RA", "<f8"),
    ("OK", "?"),
    ("Z", "<f4"),
    ("V", "<f4", (3,)),
]
DTYPE = np.dtype(KINDS)
EDGES = np.linspace(0, 0.4, 181)
COLUMNS = (
    TableColumn("OBJID", "", "meta.id;meta.main", "Id"),
    TableColumn("NAME", "", "meta.id", 'A name with <, & and "quotes", too'),
    TableColumn("RA", "deg", "pos.eq.ra;meta.main", "Right ascension"),
    TableColumn("OK"),
    TableColumn("Z", "", "src.redshift.phot", "A redshift"),
    TableColumn("V"),
)
N = 100


def rows() -> NDArray[np.void]:
    table = np.zeros(N, DTYPE)
    generator = np.random.default_rng(0)
    table["OBJID"] = 2**60 + np.arange(N)
    table["NAME"] = [[b"a", b"b <&>", b'c,"d"', b""][number % 4] for number in range(N)]
    table["RA"], table["Z"] = generator.uniform(0, 360, N), generator.uniform(0, 0.4, N)
    table["OK"] = np.arange(N) % 2 == 0
    table["Z"][7] = np.nan
    return table


def pdfs() -> PdfRows:
    pdf = np.random.default_rng(1).dirichlet(np.ones(180), N)
    return pdf_rows(pdf / np.diff(EDGES), EDGES[pdf.argmax(axis=1)], np.zeros(N, np.int32))


def write(path: Path, kind: str) -> Path:
    layout = TableLayout(
        name="PHOTOZ",
        n_rows=N,
        columns=COLUMNS,
        dtype=DTYPE,
        cards=[("MODEL", "ours <1>", ""), ("ZGRIDN", 180, "")],
        pdf_form=PdfForm("hist", tuple(EDGES)),
    )
    with exchange_file(path, kind, layout) as writer:
        for start in range(0, N, 30):
            writer.append(rows()[start : start + 30], pdfs()[start : start + 30])
    return path


def require_the_rows(table: Table) -> None:
    expected = rows()
    assert table.colnames == ["OBJID", "NAME", "RA", "OK", "Z"]
    for name in ("OBJID", "RA", "OK"):
        np.testing.assert_array_equal(np.asarray(table[name]), expected[name])
    z = np.ma.filled(np.ma.asarray(table["Z"]).astype(np.float32), np.nan)
    np.testing.assert_array_equal(z, expected["Z"])
    names = np.ma.filled(np.ma.asarray(table["NAME"]).astype(str), "")
    assert names.tolist() == [name.decode() for name in expected["NAME"].tolist()]


def test_ecsv_is_read_by_astropy(tmp_path: Path) -> None:
    table = Table.read(write(tmp_path / "z.ecsv", "ecsv"), format="ascii.ecsv")
    require_the_rows(table)
    assert table["RA"].unit == u.deg
    assert table["Z"].description == "A redshift"
    assert table["Z"].meta["ucd"] == "src.redshift.phot"
    assert table.meta["MODEL"] == "ours <1>"


def test_votable_is_read_by_astropy(tmp_path: Path) -> None:
    document = parse(write(tmp_path / "z.vot", "votable"), verify="exception")
    require_the_rows(document.get_first_table().to_table())
    fields = {field.name: field for field in document.get_first_table().fields}
    assert fields["RA"].unit == u.deg
    assert fields["RA"].ucd == "pos.eq.ra;meta.main"
    assert fields["NAME"].description == COLUMNS[1].description
    assert ("MODEL", "ours <1>") in [(i.name, i.value) for i in document.resources[0].infos]


def test_a_name_that_is_no_identifier_is_written_in_silence(tmp_path: Path) -> None:
    kinds = np.dtype([("mag/g [AB]", "f4")])
    column = TableColumn("mag/g [AB]")
    layout = TableLayout(name="T", n_rows=2, columns=[column], dtype=kinds, cards=[], pdf_form=None)
    with exchange_file(tmp_path / "z.vot", "votable", layout) as writer:
        writer.append(np.ones(2, kinds), None)
    (field,) = parse(tmp_path / "z.vot").get_first_table().fields
    assert field.name == "mag/g [AB]"


@pytest.mark.parametrize("unit", ["[solMass]", '"h:m:s"', "erg/s/cm2/AA", "---", "%", "log(1/yr)"])
@pytest.mark.parametrize("kind", ["votable", "ecsv"])
def test_units_as_of_vizier_are_written_in_silence(tmp_path: Path, kind: str, unit: str) -> None:
    kinds, column = np.dtype([("M", "f4")]), TableColumn("M", unit)
    layout = TableLayout(name="T", n_rows=2, columns=[column], dtype=kinds, cards=[], pdf_form=None)
    with exchange_file(tmp_path / "z", kind, layout) as writer:
        writer.append(np.ones(2, kinds), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = Table.read(tmp_path / "z", format="votable" if kind == "votable" else "ascii.ecsv")
        kept = u.Unit(str(found["M"].unit), parse_strict="silent")
        assert kept == u.Unit(unit, parse_strict="silent")


def test_votable_is_read_by_stilts(tmp_path: Path) -> None:
    path = write(tmp_path / "z.vot", "votable")
    command = ["stilts", "tpipe", f"in={path}", "ifmt=votable", "ofmt=csv", "out=-"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("stilts is not installed")
    require_the_rows(_with_types(done.stdout))


def _with_types(text: str) -> Table:
    table = Table.read(
        text, format="ascii.csv", converters={"OK": [str]}, fill_values=[("", "0", "Z")]
    )
    table["OK"] = [word == "true" for word in table["OK"]]
    return table


def test_parquet_is_read_by_pyarrow_with_a_votable_inside(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    file = parquet.ParquetFile(write(tmp_path / "z.parquet", "parquet"))
    table = file.read()
    assert table.num_rows == N
    require_the_rows(Table({name: table[name].to_numpy() for name in table.column_names}))
    assert table.schema.field("RA").metadata[b"unit"] == b"deg"
    metadata = file.schema_arrow.metadata
    assert metadata[b"IVOA.VOTable-Parquet.version"] == b"1.0"
    inside = parse(io.BytesIO(metadata[b"IVOA.VOTable-Parquet.content"]))
    names = [field.name for field in inside.get_first_table().fields]
    assert names == table.column_names


def test_qp_reads_the_pdfs_and_the_table_beside_them(tmp_path: Path) -> None:
    qp = pytest.importorskip("qp", reason="qp is not installed")
    ensemble = qp.read(str(write(tmp_path / "z.hdf5", "qp")))
    expected = (pdfs()["pdf"] * np.diff(EDGES)) @ ((EDGES[1:] + EDGES[:-1]) / 2)
    np.testing.assert_allclose(np.ravel(ensemble.mean()), expected, atol=1e-6)
    np.testing.assert_array_equal(ensemble.ancil["OBJID"], rows()["OBJID"])


def test_a_column_called_zmode_is_the_mode_that_rail_finds(tmp_path: Path) -> None:
    qp = pytest.importorskip("qp", reason="qp is not installed")
    names = ("zmode", "MAG_R", "MAG/R", ".")
    table = np.zeros(N, [(name, "f4") for name in names])
    for number, name in enumerate(names):
        table[name] = number + np.arange(N)
    columns = [TableColumn(name) for name in names]
    form = PdfForm("hist", tuple(EDGES))
    layout = TableLayout(
        name="T", n_rows=N, columns=columns, dtype=table.dtype, cards=(), pdf_form=form
    )
    with exchange_file(tmp_path / "z.hdf5", "qp", layout) as writer:
        writer.append(table, pdfs())
    ancil = qp.read(str(tmp_path / "z.hdf5")).ancil
    for name, key in zip(names, ("zmode", "MAG_R", "MAG_R_", "_"), strict=True):
        np.testing.assert_array_equal(ancil[key], table[name])


@pytest.mark.parametrize("kind", ["ecsv", "votable", "parquet", "qp"])
def test_an_existing_file_is_left_alone_and_a_failure_leaves_none(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "z"
    path.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        write(path, kind)
    assert path.read_text() == "precious"


@pytest.mark.parametrize(
    ("output", "chosen", "expected"),
    [
        ("a.fits", "auto", "fits"),
        ("a.XML", "auto", "votable"),
        ("a.pq", "auto", "parquet"),
        ("a.ecsv", "fits", "fits"),
        ("a", "qp", "qp"),
        ("-", "auto", "fits"),
    ],
)
def test_the_suffix_names_the_format_unless_an_option_does(
    output: str, chosen: str, expected: str
) -> None:
    assert format_of(output, chosen) == expected


@pytest.mark.parametrize(
    "output", ["q.vot.gz", "q.ECSV.GZ", "q.parquet.gz", "q.fits.bz2", "q.csv.gz"]
)
def test_names_of_packed_files_are_refused_but_for_fits(output: str) -> None:
    with pytest.raises(OutputError):
        format_of(output, "auto")
    with pytest.raises(OutputError, match="FITS tables alone are packed"):
        format_of("q.gz", "votable")
    assert format_of("q.FITS.gz", "auto") == format_of("q.tab.gz", "fits") == "fits"


@pytest.mark.parametrize("output", ["q.csv", "q.TXT", "q.json"])
def test_a_suffix_of_another_kind_of_table_is_refused(output: str) -> None:
    """It would be a FITS file under a false name."""
    with pytest.raises(OutputError, match="tables are written as FITS, VOTable") as caught:
        format_of(output, "auto")
    assert ".parquet" in caught.value.hint
    assert format_of(output, "ecsv") == "ecsv"


def test_what_a_format_does_not_hold_is_told_of() -> None:
    form, plain = PdfForm("hist", tuple(EDGES)), np.dtype([("R", "f4")])
    (told,) = notices_of_format("parquet", plain, form)
    assert told.startswith("the PDFs are left out of the parquet")
    assert not notices_of_format("parquet", plain, None)
    assert not notices_of_format("qp", plain, form)
    odd = np.dtype([("R", "f4"), ("APER", "f4", (3,)), ("VIS", "c8")])
    assert not notices_of_format("fits", odd, form)
    for kind in ("votable", "ecsv", "parquet", "qp"):
        (told,) = notices_of_format(kind, odd, None)
        assert told.startswith(f"the {kind} table is without APER, VIS: ")


ODD = np.dtype(
    [("SHORT", "u2"), ("TINY", "i1"), ("HUGE", "u8"), ("HALF", "f2"), ("N", "i4"), ("TEXT", "S4")]
)
ODD_COLUMNS = (
    TableColumn("SHORT", null=-32768),
    TableColumn("TINY", null=0),
    TableColumn("HUGE", null=2**63 - 1),
    TableColumn("HALF"),
    TableColumn("N", null=999999),
    TableColumn("TEXT"),
)


def odd_rows() -> NDArray[np.void]:
    table = np.zeros(3, ODD)
    table["SHORT"], table["TINY"] = [0, 5, 60000], [-128, 2, -3]
    table["HUGE"] = [2**63 + 5, 2**64 - 1, 2**63 + 6]
    table["HALF"], table["N"], table["TEXT"] = 0.5, [7, 999999, 8], [b"a", b"b\x07", b"c"]
    return table


def write_odd(path: Path, kind: str) -> Path:
    layout = TableLayout(
        name="PHOTOZ", n_rows=3, columns=ODD_COLUMNS, dtype=ODD, cards=[], pdf_form=None
    )
    with exchange_file(path, kind, layout) as writer:
        writer.append(odd_rows(), None)
    return path


def read_odd(path: Path, kind: str) -> Table:
    if kind == "votable":
        return parse(path, verify="exception").get_first_table().to_table()
    return Table.read(path, format="ascii.ecsv")


@pytest.mark.parametrize("kind", ["votable", "ecsv"])
def test_nulls_are_nulls_and_every_type_of_number_arrives(tmp_path: Path, kind: str) -> None:
    table = read_odd(write_odd(tmp_path / f"z.{kind}", kind), kind)
    expected = {"SHORT": [None, 5, 60000], "TINY": [None, 2, -3], "N": [7, None, 8]}
    for name, values in expected.items():
        assert np.ma.asarray(table[name]).tolist() == values, name
    huge = np.ma.asarray(table["HUGE"]).tolist()
    assert [int(value) if value else None for value in huge] == [2**63 + 5, None, 2**63 + 6]
    np.testing.assert_array_equal(np.asarray(table["HALF"]), 0.5)
    if kind == "votable":
        assert table["TEXT"].tolist() == ["a", "b?", "c"]


def test_parquet_has_nulls_and_every_type_of_number(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(write_odd(tmp_path / "z.parquet", "parquet"))
    assert table["N"].to_pylist() == [7, None, 8]
    assert table["SHORT"].to_pylist() == [None, 5, 60000]
    assert table["HUGE"].to_pylist() == [2**63 + 5, None, 2**63 + 6]


def test_complex_columns_are_left_out_as_those_of_several_values() -> None:
    layout = TableLayout(
        name="PHOTOZ",
        n_rows=0,
        columns=(TableColumn("C"), TableColumn("R")),
        dtype=np.dtype([("C", "c8"), ("R", "f4")]),
        cards=[],
        pdf_form=None,
    )
    assert [column.name for column in layout.scalar_columns] == ["R"]
