"""Preparing: every row in its place, the pixels as they were, problems flagged, never padded."""

from __future__ import annotations

import bz2
from pathlib import Path

import fitsio
import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.config import CatalogImages, PrepareConfig
from photoz_ssl.errors import CatalogError, CutoutError
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.bands import R_DR12, R_SF11
from photoz_ssl.survey.catalog import open_catalog
from photoz_ssl.survey.dust import Reddening, recognise_extinction
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.sources import open_source
from photoz_ssl.survey.units import nanomaggies_in
from photoz_ssl.workflows.prepare import prepare
from photoz_ssl.workflows.splits import draw_split

N = 12
SIZE = 64


def catalog_of(folder: Path, n: int = N) -> Path:
    rows = np.zeros(
        n, [("OBJID", "i8"), ("RA", "f8"), ("DEC", "f8"), ("EBV", "f4"), ("Z_SPEC", "f4")]
    )
    rows["OBJID"], rows["RA"], rows["DEC"] = 100 + np.arange(n), 10 + np.arange(n), 20
    rows["EBV"], rows["Z_SPEC"] = 0.03, np.where(np.arange(n) % 2, 0.1, -1)
    fitsio.write(str(folder / "cat.fits"), rows)
    return folder / "cat.fits"


def cubes(n: int = N, side: int = SIZE) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(n, 5, side, side)).astype(np.float32)


def config(folder: Path, **options: object) -> PrepareConfig:
    settings = {
        "catalog": str(folder / "cat.fits"),
        "output": folder / "out.h5",
        "cutouts": str(folder / "{OBJID}.fits"),
        "size": SIZE,
        "workers": 2,
        **options,
    }
    return PrepareConfig(**settings)  # type: ignore[arg-type]


def test_the_pixels_and_columns_arrive_unchanged_and_in_order(tmp_path: Path) -> None:
    catalog_of(tmp_path)
    images = cubes()
    for number, image in enumerate(images):
        fitsio.write(str(tmp_path / f"{100 + number}.fits"), image)
    report = prepare(config(tmp_path))
    archive = open_archive(tmp_path / "out.h5")
    np.testing.assert_array_equal(archive.images, images)
    np.testing.assert_array_equal(archive.object_id, 100 + np.arange(N))
    np.testing.assert_allclose(archive.ebv, 0.03, rtol=1e-6)
    assert report.n_labelled == np.isfinite(archive.redshift).sum() == N // 2


def columns_of(folder: Path, **columns: NDArray[np.generic]) -> None:
    """A catalogue with further, or other, columns, and its cutouts in order."""
    catalog_of(folder)
    rows = fitsio.read(str(folder / "cat.fits"))
    names = np.array([f"{100 + number}.fits".encode() for number in range(N)])
    columns = {**{name: rows[name] for name in rows.dtype.names}, "FILE": names, **columns}
    with fitsio.FITS(str(folder / "cat.fits"), "rw", clobber=True) as file:
        file.write([*columns.values()], names=[*columns])
    for number, image in enumerate(cubes()):
        fitsio.write(str(folder / f"{100 + number}.fits"), image)


def test_an_image_without_reddening_is_not_called_unusable(tmp_path: Path) -> None:
    columns_of(
        tmp_path,
        EBV=np.where(np.arange(N) == 4, np.nan, 0.03).astype("f4"),
        RA=np.full(N, np.nan),
    )
    report = prepare(config(tmp_path, cutouts=None))
    assert report.summary().startswith(f"photoz-ssl: {N} galaxies, 1 without E(B-V), ")


def test_where_all_rows_lack_reddening_that_is_the_error(tmp_path: Path) -> None:
    columns_of(tmp_path, EBV=np.full(N, np.nan), RA=np.full(N, np.nan))
    with pytest.raises(CatalogError, match=r"an E\(B-V\) is known; add EBV"):
        prepare(config(tmp_path, cutouts=None))


def test_a_split_is_drawn_by_the_ids(tmp_path: Path) -> None:
    columns_of(tmp_path)
    fractions = (0.5, 0.25, 0.25)
    prepare(config(tmp_path, cutouts=None, split=fractions, seed=3))
    archive = open_archive(tmp_path / "out.h5")
    np.testing.assert_array_equal(archive.split, draw_split(archive.object_id, fractions, 3))


@pytest.mark.parametrize(
    ("split", "n_strange", "first"),
    [([b"train", b"VALID", b"validation", b""] * 3, 3, "validation"), ([0, 1, 2] * 4, 12, "0")],
)
def test_splits_of_other_names_are_told(
    tmp_path: Path, split: list[object], n_strange: int, first: str
) -> None:
    columns_of(tmp_path, SPLIT=np.array(split))
    report = prepare(config(tmp_path, cutouts=None))
    (notice,) = (text for text in report.notices if "in no split" in text)
    assert notice.startswith(f"{n_strange} galaxies in no split")
    assert repr(first) in notice
    drawn = config(tmp_path, cutouts=None, split=(0.5, 0.25, 0.25), overwrite=True)
    assert not any("in no split" in text for text in prepare(drawn).notices)


def test_options_that_an_archive_has_no_use_for_are_told(tmp_path: Path) -> None:
    columns_of(tmp_path)
    prepare(config(tmp_path, cutouts=None))
    again = {"catalog": str(tmp_path / "out.h5"), "output": tmp_path / "b.h5", "cutouts": None}
    report = prepare(config(tmp_path, **again, size=80, redshift_column="EBV"))
    assert any("--size and --redshift-column had no effect" in text for text in report.notices)
    report = prepare(config(tmp_path, **again, overwrite=True))
    assert not any("had no effect" in text for text in report.notices)


@pytest.mark.parametrize("name", ["OBJID", "NAME"])
def test_text_ids_stay_ids_in_an_archive(tmp_path: Path, name: str) -> None:
    words = np.array([f"J{number:04d}".encode() for number in range(N)])
    columns_of(tmp_path, **{name: words})
    report = prepare(config(tmp_path, cutouts=None, id_column=name))
    (notice,) = (notice for notice in report.notices if "are text" in notice)
    assert notice.startswith(f"the ids in {name} are text: the archive's galaxies are numbered")
    with open_source(str(tmp_path / "out.h5"), CatalogImages(), size=SIZE) as source:
        (block,) = source.blocks(N)
        assert source.id_column == name
    np.testing.assert_array_equal(block.table[name], words)
    np.testing.assert_array_equal(block.object_id, np.arange(N))


def test_an_archive_of_galaxies_without_ids_has_none(tmp_path: Path) -> None:
    columns_of(tmp_path)
    prepare(config(tmp_path, catalog=f"{tmp_path / 'cat.fits'}[1][col RA;DEC;FILE]", cutouts=None))
    archive = open_archive(tmp_path / "out.h5")
    assert archive.id_column is None
    assert "OBJID" not in (archive.block(slice(0, 2)).table.dtype.names or ())


def test_ids_of_spectra_may_need_all_64_bits(tmp_path: Path) -> None:
    spectra = np.arange(N, dtype=np.uint64) + np.uint64(2**63)
    columns_of(tmp_path, SPECOBJID=spectra)
    prepare(config(tmp_path, cutouts=None))
    archive = open_archive(tmp_path / "out.h5")
    np.testing.assert_array_equal(archive.columns["SPECOBJID"], spectra)


def test_a_null_is_still_one_in_an_archive(tmp_path: Path) -> None:
    columns_of(tmp_path, COUNT=np.where(np.arange(N) == 3, 999999, np.arange(N)).astype("i4"))
    with fitsio.FITS(str(tmp_path / "cat.fits"), "rw") as file:
        place = 1 + file[1].get_colnames().index("COUNT")
        file[1].write_key(f"TNULL{place}", 999999)
    prepare(config(tmp_path, cutouts=None))
    with open_source(str(tmp_path / "out.h5"), CatalogImages(), size=SIZE) as source:
        assert source.column_cards["COUNT"] == {"TNULL": "999999"}


def test_each_problem_has_its_flag_and_no_pixel_is_made_up(tmp_path: Path) -> None:
    catalog_of(tmp_path)
    image = cubes(1)[0]
    names = [tmp_path / f"{100 + number}.fits" for number in range(N)]
    fitsio.write(str(names[0]), image)
    fitsio.write(str(names[2]), image[:, :50, :50])
    fitsio.write(str(names[3]), image[:4])
    fitsio.write(str(names[4]), image, header={"BUNIT": "adu"})
    fitsio.write(str(names[5]), np.where(image > 3, np.nan, image).astype(np.float32))
    names[6].write_bytes(names[0].read_bytes()[:9000])
    (tmp_path / "107.fits.bz2").write_bytes(bz2.compress(names[0].read_bytes()))
    fitsio.write(str(names[8]), image * 1e-9, header={"BUNIT": "maggies"})
    with fitsio.FITS(str(names[9]), "rw") as file:
        for band in reversed(range(5)):
            file.write(image[band], extname="ugriz"[band])
    report = prepare(config(tmp_path))
    archive = open_archive(tmp_path / "out.h5")
    expected = {
        1: RowFlag.IMAGE_MISSING,
        2: RowFlag.WRONG_SHAPE,
        3: RowFlag.WRONG_SHAPE,
        4: RowFlag.WRONG_UNIT,
        5: RowFlag.NOT_FINITE,
        6: RowFlag.IMAGE_DAMAGED,
        10: RowFlag.IMAGE_MISSING,
        11: RowFlag.IMAGE_MISSING,
    }
    assert {p.row: p.flag for p in report.problems} == expected
    for row in (7, 8, 9):
        np.testing.assert_allclose(archive.images[row], image, rtol=1e-5)
    assert not archive.images[list(expected)].any()
    with pytest.raises(CutoutError, match=r"row 2 .*101"):
        prepare(config(tmp_path, strict=True, overwrite=True))


def test_larger_stamps_are_cropped_about_their_centre(tmp_path: Path) -> None:
    catalog_of(tmp_path, 1)
    image = cubes(1, 107)[0]
    fitsio.write(str(tmp_path / "100.fits"), image)
    prepare(config(tmp_path))
    start = 107 // 2 - SIZE // 2
    square = image[:, start : start + SIZE, start : start + SIZE]
    np.testing.assert_array_equal(open_archive(tmp_path / "out.h5").images[0], square)


def test_no_usable_image_leaves_no_archive(tmp_path: Path) -> None:
    catalog_of(tmp_path)
    with pytest.raises(CutoutError, match="no row"):
        prepare(config(tmp_path))
    assert not (tmp_path / "out.h5").exists()


def test_hostile_catalogues_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = catalog_of(tmp_path)
    (tmp_path / "short.fits").write_bytes(path.read_bytes()[:6000])
    (tmp_path / "text.fits").write_text("ra,dec\n1,2\n" * 9)
    for name, words in (
        ("short.fits", "truncated|damaged"),
        ("text.fits", "not a FITS file"),
        ("none.fits", "no catalogue"),
        ("cat.fits[OBJID < 0]", "no rows"),
        ("cat.fits[7]", "cannot be read"),
    ):
        with pytest.raises(CatalogError, match=words), open_catalog(str(tmp_path / name)):
            pass
    with open_catalog(f"{path}[1][OBJID < 103]") as catalog:
        np.testing.assert_array_equal(catalog.read(0, 9)["OBJID"], [100, 101, 102])


@pytest.mark.parametrize("coefficients", [R_DR12, R_SF11])
def test_the_convention_of_extinctions_is_recognised(coefficients: NDArray[np.float64]) -> None:
    ebv = np.random.default_rng(0).uniform(0.01, 0.3, 50)
    rows = np.zeros(50, [("EXTINCTION", "f4", (5,))])
    rows["EXTINCTION"] = ebv[:, np.newaxis] * coefficients
    nowhere = np.full(50, np.nan)
    found, flags = Reddening(rows, has_position=False).of(rows, nowhere, nowhere)
    np.testing.assert_allclose(found, ebv, rtol=1e-5)
    assert not flags.any()
    assert recognise_extinction(rows["EXTINCTION"][:, ::-1]) is None


def test_units_of_flux_density_are_converted_and_others_are_not() -> None:
    assert nanomaggies_in("") == nanomaggies_in("nanomaggies") == 1
    assert nanomaggies_in("uJy") == pytest.approx(1 / 3.631)
    assert nanomaggies_in("adu") is None


def test_real_frames_give_stamps_whose_bands_are_aligned(sdss_frames: Path, tmp_path: Path) -> None:
    galaxies = f"{sdss_frames / 'galaxies.fits'}[OBJID == 2003]"
    field = sdss_frames / "003918-3-0213"
    prepare(PrepareConfig(catalog=galaxies, frames=field, output=tmp_path / "out.h5", workers=1))
    archive = open_archive(tmp_path / "out.h5")
    core = archive.images[0][:, 44:63, 44:63].clip(0)
    y, x = np.indices(core.shape[1:]) - 9
    flux = core.sum(axis=(1, 2))
    assert np.all(np.abs((core * x).sum(axis=(1, 2)) / flux) < 1)
    assert np.all(np.abs((core * y).sum(axis=(1, 2)) / flux) < 1)
    assert archive.flags[0] == RowFlag.COARSE_DUST_MAP


@pytest.mark.parametrize("column", ["ZWARN", "zWarning"])
def test_redshifts_that_are_warned_of_are_told(tmp_path: Path, column: str) -> None:
    rows = fitsio.read(str(catalog_of(tmp_path)))
    warned = np.zeros(len(rows), [*rows.dtype.descr, (column, "i4")])
    for name in rows.dtype.names:
        warned[name] = rows[name]
    fitsio.write(str(tmp_path / "cat.fits"), warned, clobber=True)
    for number, image in enumerate(cubes()):
        fitsio.write(str(tmp_path / f"{100 + number}.fits"), image)
    assert not any(column in notice for notice in prepare(config(tmp_path)).notices)
    warned[column][:4] = 4  # of which two have redshifts
    fitsio.write(str(tmp_path / "cat.fits"), warned, clobber=True)
    report = prepare(config(tmp_path, overwrite=True))
    (notice,) = (notice for notice in report.notices if column in notice)
    assert notice.startswith(f"2 redshifts taken of which {column} warns")
    chosen = notice.split("'")[1].replace("NAME.fits", str(tmp_path / "cat.fits"))
    assert prepare(config(tmp_path, catalog=chosen, overwrite=True)).n_labelled == N // 2 - 2


def test_a_column_that_is_taken_for_magnitudes_is_told_where_there_is_no_redshift(
    tmp_path: Path,
) -> None:
    rows = np.zeros(N, [("OBJID", "i8"), ("R", "f4"), ("Z", "f4"), ("EBV", "f4")])
    rows["OBJID"], rows["Z"] = 100 + np.arange(N), 0.1
    fitsio.write(str(tmp_path / "cat.fits"), rows)
    for number, image in enumerate(cubes()):
        fitsio.write(str(tmp_path / f"{100 + number}.fits"), image)
    report = prepare(config(tmp_path))
    (notice,) = (notice for notice in report.notices if "magnitudes" in notice)
    assert "--redshift-column Z " in notice
    report = prepare(config(tmp_path, redshift_column="Z", overwrite=True))
    assert report.n_labelled == N
    assert not any("magnitudes" in notice for notice in report.notices)
    rows["Z"] = -9999
    fitsio.write(str(tmp_path / "cat.fits"), rows, clobber=True)
    report = prepare(config(tmp_path, redshift_column="Z", overwrite=True))
    assert report.n_labelled == 0
    assert not any("magnitudes" in notice for notice in report.notices)


def test_redshifts_in_words_are_told(tmp_path: Path) -> None:
    rows = np.zeros(N, [("OBJID", "i8"), ("z_spec", "S6"), ("EBV", "f4")])
    rows["OBJID"], rows["z_spec"] = 100 + np.arange(N), b"0.1"
    fitsio.write(str(tmp_path / "cat.fits"), rows)
    for number, image in enumerate(cubes()):
        fitsio.write(str(tmp_path / f"{100 + number}.fits"), image)
    report = prepare(config(tmp_path))
    assert report.n_labelled == 0
    told = "no row has a redshift; the column z_spec is text: write its redshifts as numbers"
    assert told in report.notices


def test_a_catalogue_without_positions_is_told(tmp_path: Path) -> None:
    rows = np.zeros(N, [("OBJID", "i8"), ("ALPHA", "f8"), ("BETA", "f8"), ("EBV", "f4")])
    rows["OBJID"] = 100 + np.arange(N)
    fitsio.write(str(tmp_path / "cat.fits"), rows)
    for number, image in enumerate(cubes()):
        fitsio.write(str(tmp_path / f"{100 + number}.fits"), image)
    (notice,) = (n for n in prepare(config(tmp_path)).notices if "right ascension" in n)
    named = f"{tmp_path / 'cat.fits'}[1][col *;RA==ALPHA;DEC==BETA]"
    assert "[1][col *;RA==MY_RA;DEC==MY_DEC]" in notice
    prepare(config(tmp_path, catalog=named, overwrite=True))
    np.testing.assert_array_equal(open_archive(tmp_path / "out.h5").ra, np.zeros(N))
