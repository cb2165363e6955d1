"""Catalogues: CFITSIO's names for parts of files, what columns are, and files that are damaged."""

from __future__ import annotations

import bz2
import gzip
import io
import sys
from collections.abc import Callable
from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.catalog import Catalog, open_catalog

PACKERS = pytest.mark.parametrize(
    ("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)]
)

N = 30


def galaxies(n: int = N) -> NDArray[np.void]:
    kinds = [("OBJID", "i8"), ("RA", "f8"), ("DEC", "f8"), ("R", "f4"), ("NAME", "S8")]
    rows = np.zeros(n, kinds)
    rows["OBJID"], rows["RA"], rows["DEC"] = 100 + np.arange(n), np.linspace(0, 29, n), -5
    rows["R"] = 15 + 0.1 * np.arange(n)
    rows["NAME"] = [f"g{number}" for number in range(n)]
    return rows


def write(path: Path, *tables: NDArray[np.void], names: tuple[str, ...] = ()) -> Path:
    with fitsio.FITS(str(path), "rw", clobber=True) as file:
        for number, table in enumerate(tables):
            file.write(table, extname=names[number] if names else f"T{number}")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two tables, the second with every other galaxy."""
    return write(tmp_path / "cat.fits", galaxies(), galaxies()[::2], names=("ALL", "EVEN"))


def read_all(path: object) -> NDArray[np.void]:
    with open_catalog(str(path)) as catalog:
        return catalog.read(0, catalog.n_rows)


def columns(**arrays: object) -> NDArray[np.void]:
    made = {name: np.asarray(values) for name, values in arrays.items()}
    table = np.zeros(len(next(iter(made.values()))), [(n, v.dtype) for n, v in made.items()])
    for name, values in made.items():
        table[name] = values
    return table


def described(tmp_path: Path, names: list[str], **cards: str) -> Path:
    """A catalogue of one row with columns of these names, and cards such as TUCD1."""
    values = {name: [1 if name == "NUMBER" else 1.0] for name in names}
    path = write(tmp_path / "described.fits", columns(**values))
    with fitsio.FITS(str(path), "rw") as file:
        for keyword, value in cards.items():
            file[1].write_key(keyword, value)
    return path


# CFITSIO's syntax


def test_the_first_table_is_read_where_none_is_named(path: Path) -> None:
    np.testing.assert_array_equal(read_all(path), galaxies())


@pytest.mark.parametrize("part", ["[2]", "[EVEN]", "[even]", "[ 2 ]", "[EVEN,1]", "+2"])
def test_a_table_is_named_by_number_or_extname(path: Path, part: str) -> None:
    np.testing.assert_array_equal(read_all(f"{path}{part}"), galaxies()[::2])


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("[1][OBJID > 109]", slice(10, None)),
        ("[OBJID > 109]", slice(10, None)),
        ("[2][OBJID > 109]", slice(10, None, 2)),
        ("+2[OBJID > 109]", slice(10, None, 2)),
        ("[1][#row <= 6]", slice(6)),
        ("[1][OBJID > 103 && OBJID < 107]", slice(4, 7)),
        ("[ALL][NAME == 'g3']", slice(3, 4)),
    ],
)
def test_rows_are_chosen_by_expressions(path: Path, part: str, expected: slice) -> None:
    np.testing.assert_array_equal(read_all(f"{path}{part}"), galaxies()[expected])


def test_columns_are_chosen_and_made(path: Path) -> None:
    table = read_all(f"{path}[1][col OBJID; TWICE = 2 * RA][OBJID < 103]")
    assert table.dtype.names == ("OBJID", "TWICE")
    np.testing.assert_array_equal(table["TWICE"], 2 * galaxies()["RA"][:3])


@pytest.mark.parametrize("name", ["a (1).fits", "a+1.fits", "a b.fits", "a@b,c;d.fits", "ä.fits"])
def test_other_signs_in_a_name_are_part_of_it(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "plain.fits", galaxies()).rename(tmp_path / name)
    np.testing.assert_array_equal(read_all(path), galaxies())
    np.testing.assert_array_equal(read_all(f"{path}[1][#row < 4]"), galaxies()[:3])
    assert [found.name for found in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["b[2].fits", "sp [1]/cat.fits", "c.fits[1]", "[d].fits.gz"])
def test_brackets_in_the_name_of_a_file_that_is_there_are_part_of_it(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    content = write(tmp_path / "plain.fits", galaxies()).read_bytes()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    np.testing.assert_array_equal(read_all(path), galaxies())
    np.testing.assert_array_equal(read_all(f"{path}[1][OBJID < 103]"), galaxies()[:3])
    with open_catalog(str(path)) as catalog:
        assert catalog.folder == path.parent
        assert catalog.path == str(path)


@pytest.mark.parametrize("brackets", ["", "[1]"])
def test_an_address_that_cannot_be_read_is_to_be_downloaded(brackets: str) -> None:
    address = f"nowhere://sky/cat.fits{brackets}"
    with pytest.raises(CatalogError, match="cannot be read") as caught, open_catalog(address):
        pass
    assert caught.value.hint == "download it, and name the copy"


def test_where_no_such_file_is_there_brackets_are_a_selection(path: Path) -> None:
    (path.parent / "cat.fits[1]").write_bytes(b"")
    assert len(read_all(f"{path}[2]")) == N // 2
    with pytest.raises(CatalogError, match=r"cat.fits\[1\] is an empty file"):
        read_all(f"{path}[1][#row < 4]")


@PACKERS
def test_packed_files_are_read_as_they_are(
    path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = path.with_name(path.name + suffix)
    packed.write_bytes(pack(path.read_bytes()))
    np.testing.assert_array_equal(read_all(packed), galaxies())
    np.testing.assert_array_equal(read_all(f"{packed}[2][#row < 3]"), galaxies()[:4:2])


@PACKERS
def test_packed_files_that_are_cut_off_or_damaged_are_told(
    path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    whole = path.read_bytes()
    packed = path.with_name(path.name + suffix)
    for content, words in (
        (pack(whole)[:-20], "cannot be unpacked"),
        (pack(whole)[:40] + pack(whole)[60:], "cannot be unpacked"),
        (pack(whole[:-2880]), "is truncated"),
        (pack(b"a,b\n1,2\n"), "is not a FITS file"),
    ):
        packed.write_bytes(content)
        with pytest.raises(CatalogError, match=words) as caught, open_catalog(str(packed)):
            pass
        assert str(packed) in caught.value.message


@pytest.mark.parametrize("kept", [2888, 3000, 5759])
def test_a_file_that_is_cut_in_a_tables_header_is_told(tmp_path: Path, kept: int) -> None:
    path = write(tmp_path / "cut.fits", galaxies())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CatalogError, match="the header of its HDU 1 has no end"):
        read_all(path)


@pytest.mark.parametrize("name", ["-", "-[1]", "-[1][OBJID < 103]"])
def test_a_table_on_standard_input(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    expected = galaxies()[:3] if "OBJID" in name else galaxies()
    np.testing.assert_array_equal(read_all(name), expected)


def test_a_terminal_is_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    with pytest.raises(CatalogError, match="no table on standard input"):
        read_all("-")


# rows


@pytest.mark.parametrize("size", [1, 7, 30, 100])
def test_blocks_make_up_the_whole(path: Path, size: int) -> None:
    with open_catalog(str(path)) as catalog:
        assert catalog.n_rows == N
        blocks = [catalog.read(k, min(k + size, N)) for k in range(0, N, size)]
        np.testing.assert_array_equal(np.concatenate(blocks), galaxies())
        assert all(block.dtype == catalog.dtype for block in blocks)


def test_every_kind_of_column_arrives_as_it_was(tmp_path: Path) -> None:
    table = columns(
        LOGICAL=np.arange(4) % 2 == 0,
        BYTE=np.arange(4, dtype="u1"),
        SHORT=np.arange(4, dtype="i2") - 2,
        UNSIGNED=np.arange(4, dtype="u2") + 65_530,
        LONG=np.arange(4, dtype="i8") * 2**40,
        COMPLEX=np.arange(4) + 1j,
        TEXT=np.array([b"a", b"", b"abc", b"x y"]),
    )
    vectors = np.zeros(4, [*table.dtype.descr, ("VECTOR", "f4", (5,)), ("CUBE", "f4", (2, 3, 4))])
    for name in table.dtype.names or ():
        vectors[name] = table[name]
    vectors["CUBE"] = np.random.default_rng(0).normal(size=(4, 2, 3, 4))
    found = read_all(write(tmp_path / "kinds.fits", vectors))
    for name in vectors.dtype.names or ():
        np.testing.assert_array_equal(found[name], vectors[name], err_msg=name)
        assert found.dtype[name].shape == vectors.dtype[name].shape


def scaled_table(path: Path, **cards: float) -> Path:
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("OBJID", "K", array=np.arange(6)),
            fits.Column("S", "I", array=np.arange(6, dtype="i2")),
            fits.Column("RA", "D", array=np.arange(6) + 0.5),
        ]
    )
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path)
    content = path.read_bytes()
    end = content.index(b"END" + b" " * 77, 2880)
    extra = b"".join(f"{key:<8}= {value:>20}".ljust(80).encode() for key, value in cards.items())
    padding = content[end + 80 + len(extra) :]
    path.write_bytes(content[:end] + extra + content[end : end + 80] + padding)
    return path


@pytest.mark.parametrize("cards", [{"TSCAL2": 0.01}, {"TZERO2": 3.0}])
def test_scaled_integers_are_refused_rather_than_misread(
    tmp_path: Path, cards: dict[str, float]
) -> None:
    path = scaled_table(tmp_path / "scaled.fits", **cards)
    with pytest.raises(CatalogError, match=r"column S .* scaled integers") as caught:
        read_all(path)
    assert f"in={path} ifmt=fits" in caught.value.hint
    assert f"out={tmp_path / 'scaled-table.fits'}" in caught.value.hint


@pytest.mark.parametrize("cards", [{"TZERO2": 32768}, {"TSCAL2": 1.0, "TZERO2": 0.0}])
def test_unsigned_integers_and_idle_scales_are_read(
    tmp_path: Path, cards: dict[str, float]
) -> None:
    found = read_all(scaled_table(tmp_path / "unsigned.fits", **cards))
    np.testing.assert_array_equal(found["S"], np.arange(6) + int(cards["TZERO2"]))
    np.testing.assert_array_equal(found["RA"], np.arange(6) + 0.5)


def test_text_that_is_not_ascii_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "letters.fits", galaxies())
    path.write_bytes(path.read_bytes().replace(b"g20\0", b"g\xe4\xdf\0"))
    with pytest.raises(CatalogError, match="not ASCII, in NAME") as caught:
        read_all(path)
    assert "[1][col -NAME]" in caught.value.hint
    assert len(read_all(f"{path}[1][col -NAME]")) == N


def test_the_hint_about_letters_keeps_what_was_selected(tmp_path: Path) -> None:
    path = tmp_path / "letters.fits"
    fitsio.write(str(path), galaxies()[["RA"]], extname="OTHER", clobber=True)
    fitsio.write(str(path), galaxies(), extname="GAL")
    path.write_bytes(path.read_bytes().replace(b"g20\0", b"g\xe4\xdf\0"))
    with pytest.raises(CatalogError, match="not ASCII, in NAME") as caught:
        read_all(f"{path}[GAL][RA > -1]")
    _, selected, _ = caught.value.hint.split("'")
    assert len(read_all(selected)) == N


def test_columns_of_one_name_are_told_with_what_renames_one(tmp_path: Path) -> None:
    path = write(tmp_path / "joined.fits", galaxies())
    content = path.read_bytes()
    assert content.count(b"'DEC     '") == content.count(b"'R       '") == 1
    path.write_bytes(content.replace(b"'R       '", b"'RA      '"))
    with pytest.raises(CatalogError, match=r"has more than one column RA;") as caught:
        read_all(path)
    _, selected, _ = caught.value.hint.split("'")
    found = read_all(selected)
    np.testing.assert_array_equal(found["RA"], galaxies()["RA"])
    np.testing.assert_array_equal(found["RA_4"], galaxies()["R"])


def test_a_hint_says_how_many_columns_it_leaves_out(tmp_path: Path) -> None:
    table = np.zeros(1, [(f"C{number}", "f4") for number in range(45)])
    path = str(write(tmp_path / "wide.fits", table))
    with open_catalog(path) as catalog, pytest.raises(CatalogError) as caught:
        catalog.require("Z", "of redshifts")
    assert caught.value.hint.endswith(", C38, C39 and 5 more")


def test_what_has_no_value_in_a_table_of_text_is_no_zero(tmp_path: Path) -> None:
    """As VizieR's tables have it: TNULL is a word, and fitsio reads 0 for it."""
    path = tmp_path / "text.fits"
    numbers = [1.5, 2.5, 3.5]
    columns = [
        fits.Column("EBV", "F8.3", array=numbers, null="--", ascii=True),
        fits.Column("N", "I6", array=[1, 2, 3], null="--", ascii=True),
        fits.Column("M", "F8.3", array=numbers, ascii=True),
    ]
    fits.TableHDU.from_columns(columns).writeto(path)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"   2.500     2   2.500", b"--      --       2.500"))
    with open_catalog(str(path)) as catalog:
        found, null = catalog.read(0, 3), catalog.null("N")
    np.testing.assert_array_equal(found["EBV"], [1.5, np.nan, 3.5])
    assert null is not None
    assert found["N"].tolist() == [1, null, 3]
    assert found["M"].tolist() == numbers
    with open_catalog(f"{path}[1][M > 2]") as catalog:
        np.testing.assert_array_equal(catalog.read(0, 2)["EBV"], [np.nan, 3.5])
        np.testing.assert_array_equal(catalog.read(1, 2)["EBV"], [3.5])


# what columns are


@pytest.mark.parametrize("name", ["OBJID", "ObjID", "objid", "SOURCE_ID", "TARGETID", "id"])
def test_ids_are_known_by_name(tmp_path: Path, name: str) -> None:
    with open_catalog(str(described(tmp_path, ["MAG", name]))) as catalog:
        assert catalog.id_column() == name


def test_ids_and_positions_are_known_by_ucd(tmp_path: Path) -> None:
    path = described(
        tmp_path,
        ["NUMBER", "ALPHA", "BETA", "ZED"],
        TUCD1="meta.id;meta.main",
        TUCD2="pos.eq.ra;meta.main",
        TUCD3="POS.EQ.DEC",
        TUCD4="src.redshift",
        TUNIT2="deg",
        TUNIT3="Degree",
    )
    with open_catalog(str(path)) as catalog:
        assert catalog.id_column() == "NUMBER"
        assert catalog.position_columns() == ("ALPHA", "BETA")
        assert catalog.redshift_columns() == ("ZED", None)


def test_ucds_left_behind_by_columns_that_were_dropped_are_not_believed(tmp_path: Path) -> None:
    whole = Table({"RA": [10.0], "DEC": [20.0], "Z": [0.1], "U": [17.0], "ERR": [0.1]})
    whole["RA"].unit = whole["DEC"].unit = "deg"
    whole["U"].unit = whole["ERR"].unit = "mag"
    ucds = ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main", "src.redshift", "meta.id;meta.main")
    whole.meta.update({f"TUCD{number}": ucd for number, ucd in enumerate(ucds, start=1)})
    whole.remove_columns(["RA", "DEC"])
    whole.write(tmp_path / "cut.fits")  # astropy knows of no UCDs: RA's is now that of Z
    with open_catalog(str(tmp_path / "cut.fits")) as catalog:
        assert catalog.cards["Z"]["TUCD"] == "pos.eq.ra;meta.main"
        assert catalog.position_columns() == (None, None)
        assert catalog.id_column() is None
        assert catalog.redshift_columns() == ("Z", None)


@pytest.mark.parametrize("name", ["Z_PHOT", "Z"])
def test_photometric_redshifts_are_no_spectroscopic_ones(tmp_path: Path, name: str) -> None:
    path = described(tmp_path, [name], TUCD1="src.redshift.phot;stat.mean")
    with open_catalog(str(path)) as catalog:
        assert catalog.redshift_columns() == (None, None)


@pytest.mark.parametrize(
    "names", [("RA", "DEC"), ("ra", "dec"), ("RAJ2000", "DEJ2000"), ("ALPHA_J2000", "DELTA_J2000")]
)
def test_positions_are_known_by_name(tmp_path: Path, names: tuple[str, str]) -> None:
    with open_catalog(str(described(tmp_path, [*names, "MAG"]))) as catalog:
        assert catalog.position_columns() == names


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["RAJ2000", "DEC", "DEJ2000"], ("RAJ2000", "DEJ2000")),
        (["RA", "RAJ2000", "DEJ2000"], ("RAJ2000", "DEJ2000")),
        (["RA", "DEC", "RAJ2000", "DEJ2000"], ("RA", "DEC")),
        (["RAJ2000", "DECJ2000"], ("RAJ2000", "DECJ2000")),
        (["TARGET_RA", "TARGET_DEC"], ("TARGET_RA", "TARGET_DEC")),
        (["coord_ra", "coord_dec"], ("coord_ra", "coord_dec")),
        (["RA", "DE_ICRS"], ("RA", "DE_ICRS")),
    ],
)
def test_positions_are_of_one_system_where_one_is_whole(
    tmp_path: Path, names: list[str], expected: tuple[str, str]
) -> None:
    with open_catalog(str(described(tmp_path, names))) as catalog:
        assert catalog.position_columns() == expected


@pytest.mark.parametrize(
    ("unit", "degrees"), [("hours", 15.0), ("Radians", 180 / np.pi), ("arcsec", 1 / 3600)]
)
def test_units_of_angle_are_understood_however_they_are_spelled(
    tmp_path: Path, unit: str, degrees: float
) -> None:
    path = described(tmp_path, ["RA", "DEC"], TUNIT1=unit, TUNIT2="deg")
    with open_catalog(str(path)) as catalog:
        rows = catalog.read(0, 1)
        assert catalog.degrees(rows, "RA")[0] == pytest.approx(degrees * rows["RA"][0])


def test_a_position_in_what_is_no_angle_is_refused(tmp_path: Path) -> None:
    path = described(tmp_path, ["RA", "DEC"], TUNIT1="mag", TUNIT2="deg")
    with open_catalog(str(path)) as catalog, pytest.raises(CatalogError, match="'mag'"):
        catalog.degrees(catalog.read(0, 1), "RA")


@pytest.mark.parametrize("unit", ["[deg]", "decimal degrees", "none", "J2000", "d", "N/A", "-"])
def test_what_is_no_unit_of_anything_is_taken_as_degrees(tmp_path: Path, unit: str) -> None:
    path = described(tmp_path, ["RA", "DEC", "Z"], TUNIT1=unit, TUNIT2="deg", TUNIT3="N/A")
    with open_catalog(str(path)) as catalog:
        assert catalog.degrees(catalog.read(0, 1), "RA")[0] == 1.0
        assert catalog.redshift_columns() == ("Z", None)


def test_a_redshift_is_sought_on_where_a_name_is_of_something_else(tmp_path: Path) -> None:
    with open_catalog(str(described(tmp_path, ["REDSHIFT", "Z"], TUNIT1="km/s"))) as catalog:
        assert catalog.redshift_columns() == ("Z", None)


@pytest.mark.parametrize("unit", ["mag", "Mpc", "km/s", "mag(AB)"])
def test_a_number_with_a_unit_is_no_redshift(tmp_path: Path, unit: str) -> None:
    with open_catalog(str(described(tmp_path, ["Z"], TUNIT1=unit))) as catalog:
        assert catalog.redshift_columns() == (None, None)


def test_the_ids_of_desi_are_those_of_its_targets(tmp_path: Path) -> None:
    with open_catalog(str(described(tmp_path, ["OBJID", "BRICKID", "TARGETID"]))) as catalog:
        assert catalog.id_column() == "TARGETID"


def test_a_column_of_lists_is_no_id(tmp_path: Path) -> None:
    table = Table({"OBJID": np.zeros((2, 5), int), "SPECOBJID": [b"1", b"2"]})
    table.write(tmp_path / "spec.fits")
    with open_catalog(str(tmp_path / "spec.fits")) as catalog:
        assert catalog.id_column() == "SPECOBJID"


def test_half_a_position_is_none(tmp_path: Path) -> None:
    with open_catalog(str(described(tmp_path, ["RA", "MAG"]))) as catalog:
        assert catalog.position_columns() == (None, None)


@pytest.mark.parametrize(
    ("ra", "dec", "expected"),
    [
        (b"10:30:00", b"-00:30:00", (157.5, -0.5)),
        (b"10h30m00.0s", b"-5d30m", (157.5, -5.5)),
        (b" 10 30 00", b"+20 15 36 ", (157.5, 20.26)),
        (b"157d30m00s", b"20.26", (157.5, 20.26)),
        (b"10:29:60", b"20:15:36", (157.5, 20.26)),
        (b"157.5", b"-5.5", (157.5, -5.5)),
        (b"", b"unknown", (np.nan, np.nan)),
    ],
)
def test_positions_in_words_are_read(
    tmp_path: Path, ra: bytes, dec: bytes, expected: tuple[float, float]
) -> None:
    words = columns(RA=np.array([ra + b"   "]), DEC=np.array([dec]))
    with open_catalog(str(write(tmp_path / "words.fits", words))) as catalog:
        assert catalog.position_columns() == ("RA", "DEC")
        rows = catalog.read(0, 1)
        found = catalog.degrees(rows, "RA")[0], catalog.degrees(rows, "DEC")[0]
    assert found == pytest.approx(expected, nan_ok=True)


def test_words_that_are_said_to_be_degrees_are_no_hours(tmp_path: Path) -> None:
    words = columns(RA=np.array([b"10:30:00"]), DEC=np.array([b"00:00:00"]))
    path = write(tmp_path / "words.fits", words)
    with fitsio.FITS(str(path), "rw") as file:
        file[1].write_key("TUNIT1", "deg")
    with open_catalog(str(path)) as catalog:
        assert catalog.degrees(catalog.read(0, 1), "RA")[0] == 10.5


@pytest.mark.parametrize(
    ("unit", "degrees"), [("", 1), ("deg", 1), ("hourangle", 15), ("h", 15), ("rad", 180 / np.pi)]
)
def test_positions_come_in_degrees(tmp_path: Path, unit: str, degrees: float) -> None:
    cards = {"TUNIT1": unit} if unit else {}
    with open_catalog(str(described(tmp_path, ["RA", "DEC"], **cards))) as catalog:
        rows = catalog.read(0, 1)
        assert catalog.degrees(rows, "RA")[0] == pytest.approx(degrees)
        assert catalog.degrees(rows, "DEC")[0] == 1


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Z_SPEC", "Z_SPEC_ERR"], ("Z_SPEC", "Z_SPEC_ERR")),
        (["z", "zErr"], ("z", "zErr")),
        (["Z_SPEC", "zErr"], ("Z_SPEC", None)),
        (["z", "J", "Ks"], (None, None)),
        (["K", "z"], ("z", None)),
        (["g", "r", "z", "zErr", "ZWARN"], ("z", "zErr")),
        (["z", "z_err"], ("z", "z_err")),
        (["g", "r", "z"], (None, None)),
        (["Z", "REDSHIFT"], ("REDSHIFT", None)),
        (["z", "zErr", "zMedian", "zMode"], (None, None)),
        (["Z_INPUT", "z", "zErr", "zMedian"], ("Z_INPUT", None)),
        (["R", "Z_INPUT", "z", "zMedian"], (None, None)),
        (["Z_SPEC", "z", "zMedian"], ("Z_SPEC", None)),
        (["z", "zErr", "nnCount", "photoErrorClass"], (None, None)),
        (["MAG"], (None, None)),
    ],
)
def test_redshifts_are_known_by_name_and_magnitudes_are_not_taken_for_them(
    tmp_path: Path, names: list[str], expected: tuple[str | None, str | None]
) -> None:
    with open_catalog(str(described(tmp_path, names))) as catalog:
        assert catalog.redshift_columns() == expected


def test_what_columns_say_of_themselves_is_kept(tmp_path: Path) -> None:
    path = described(
        tmp_path, ["RA", "MAG"], TUNIT2="mag", TUCD2="phot.mag", TCOMM2="r", TDISP2="F7.3"
    )
    with open_catalog(str(path)) as catalog:
        assert catalog.cards["RA"] == {"TFORM": "D"}
        assert catalog.cards["MAG"] == {
            "TFORM": "D",
            "TUNIT": "mag",
            "TUCD": "phot.mag",
            "TCOMM": "r",
            "TDISP": "F7.3",
        }


def test_a_column_that_is_demanded_is_found_or_those_there_are_named(path: Path) -> None:
    with open_catalog(str(path)) as catalog:
        assert catalog.require("objid", "of ids") == "OBJID"
        with pytest.raises(CatalogError, match="no column COLOUR of hues") as caught:
            catalog.require("COLOUR", "of hues")
    assert "OBJID, RA, DEC" in caught.value.hint


# damage


@pytest.mark.parametrize("length", [0, 100, 1500, 2880, 4000, 5760, 6000, 8000])
def test_a_file_that_was_cut_is_refused(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "cut.fits", galaxies())
    content = path.read_bytes()
    assert length < len(content)
    path.write_bytes(content[:length])
    with pytest.raises(CatalogError, match=r"truncated|damaged|empty|no table") as caught:
        read_all(path)
    assert caught.value.hint


def test_the_folder_is_that_of_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folder(catalog: Catalog) -> Path:
        return catalog.folder

    with open_catalog(f"{path}[1]") as catalog:
        assert folder(catalog) == path.parent
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(path.read_bytes())))
    with open_catalog("-") as catalog:
        assert folder(catalog) == Path()


def test_a_column_without_a_name_is_one_like_others(tmp_path: Path) -> None:
    path = tmp_path / "nameless.fits"
    table = np.zeros(3, [("OBJID", "i8"), ("SIDE", "f8"), ("DEC", "f8")])
    fitsio.write(str(path), table)
    content = path.read_bytes()
    card = b"TTYPE2  = 'SIDE    '"
    assert card in content
    path.write_bytes(content.replace(card, b"TTYPE2  = ''        "))
    with open_catalog(str(path)) as catalog:
        assert catalog.position_columns() == (None, None)
        assert len(catalog.read(0, 3)) == 3


def test_bits_beside_lists_are_what_they_are(tmp_path: Path) -> None:
    bits = np.random.default_rng(0).integers(0, 2, (4, 11)).astype(bool)
    lists = np.empty(4, object)
    lists[:] = [np.arange(length + 1, dtype="f4") for length in range(4)]
    columns = [fits.Column("FLAG", "11X", array=bits), fits.Column("LIST", "PE()", array=lists)]
    fits.BinTableHDU.from_columns(columns).writeto(tmp_path / "bits.fits")
    with open_catalog(str(tmp_path / "bits.fits")) as catalog:
        np.testing.assert_array_equal(catalog.read(1, 4)["FLAG"], bits[1:])
        assert catalog.dtype["FLAG"].base == np.bool_


def test_other_tables_of_a_file_are_told_where_none_was_named(path: Path, tmp_path: Path) -> None:
    with open_catalog(str(path)) as catalog:
        told = catalog.or_another_table("add it")
        assert told == "add it; or name another table than the first, as [EVEN] behind the file"
    with open_catalog(f"{path}[1]") as catalog:
        assert catalog.or_another_table("add it") == "add it"
    with open_catalog(str(write(tmp_path / "one.fits", galaxies()))) as catalog:
        assert catalog.or_another_table("add it") == "add it"
