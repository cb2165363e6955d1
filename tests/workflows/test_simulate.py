"""``simulate``: the same bytes for the same seed, whole outputs, files that others can read."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

pytest.importorskip("galsim", reason="needs the extra [sim]")
pytest.importorskip("kcorrect", reason="needs the extra [sim]")

from photoz_ssl.config import SimulateConfig
from photoz_ssl.errors import OutputError
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.simulation.output import cutout_name
from photoz_ssl.workflows.simulate import _new_folder, simulate


def simulated(output: Path, *, compress: bool = False, seed: int = 3) -> Path:
    config = SimulateConfig(
        output=output, n_galaxies=4, seed=seed, size=64, workers=1, compress=compress
    )
    return simulate(config).output


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated(tmp_path_factory.mktemp("survey") / "survey")


def test_cutouts_are_where_the_catalogue_says(survey: Path) -> None:
    for row in fitsio.read(str(survey)):
        path = survey.parent / row["CUTOUT"]
        with fits.open(path, checksum=True) as hdus:
            header, image = hdus[0].header, hdus[0].data
        assert image.shape == (5, 64, 64)
        assert image.dtype.newbyteorder("=") == np.float32
        assert header["BUNIT"] == "nanomaggy"
        assert header["BANDS"] == "ugriz"
        assert [header[f"BAND{plane}"] for plane in range(1, 6)] == list("ugriz")
        assert header["EBV"] == pytest.approx(row["EBV"], abs=1e-6)
        place = WCS(header, naxis=2).pixel_to_world(32, 32)
        assert place.ra.deg == pytest.approx(row["RA"], abs=1e-6)
        assert place.dec.deg == pytest.approx(row["DEC"], abs=1e-6)
        for x, y, angle in ((32, 33, 0), (31, 32, 90)):  # north is up, and east left
            beside = WCS(header, naxis=2).pixel_to_world(x, y)
            assert place.separation(beside).arcsec == pytest.approx(0.396, abs=1e-4)
            assert place.position_angle(beside).deg % 360 == pytest.approx(angle, abs=0.01)


def test_a_folder_has_at_most_a_thousand_cutouts() -> None:
    names = [cutout_name(number) for number in range(1, 3001)]
    assert len(set(names)) == 3000
    assert max(Counter(Path(name).parent for name in names).values()) == 1000


def test_the_same_seed_gives_the_same_bytes(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first, second = simulated(tmp_path / "a"), simulated(tmp_path / "b")
    files = sorted(path.relative_to(first.parent) for path in first.parent.rglob("*.fits"))
    assert len(files) == 5
    for name in files:
        assert (first.parent / name).read_bytes() == (second.parent / name).read_bytes()
    assert fitsio.read_header(str(first), ext=1)["SEED"] == 3
    other = simulated(tmp_path / "c", seed=4)
    assert other.read_bytes() != first.read_bytes()


def test_compression_loses_nothing(survey: Path, tmp_path: Path) -> None:
    packed = simulated(tmp_path / "packed", compress=True)
    name = fitsio.read(str(survey))["CUTOUT"][0]
    plain = fitsio.read(str(survey.parent / name))
    np.testing.assert_array_equal(fitsio.read(str(packed.parent / name), ext=1), plain)


def test_an_archive_holds_the_same_galaxies(survey: Path, tmp_path: Path) -> None:
    archive = open_archive(simulated(tmp_path / "survey.h5"))
    catalog = fitsio.read(str(survey))
    np.testing.assert_array_equal(archive.object_id, catalog["OBJID"])
    np.testing.assert_array_equal(archive.redshift, catalog["Z_SPEC"])
    np.testing.assert_array_equal(archive.columns["MODEL_MAG_r"], catalog["MODEL_MAG_r"])
    image = fitsio.read(str(survey.parent / catalog["CUTOUT"][2]))
    np.testing.assert_array_equal(archive.images[2], image)


def test_a_full_folder_and_a_strangers_folder_are_kept(survey: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="not empty"):
        simulate(SimulateConfig(output=survey.parent, n_galaxies=1))
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="does not hold a simulated survey"):
        simulate(SimulateConfig(output=tmp_path, n_galaxies=1, overwrite=True))
    assert (tmp_path / "thesis.tex").exists()


def test_what_cannot_become_a_survey_is_refused(tmp_path: Path) -> None:
    for name in ("survey.h5", "survey"):
        (tmp_path / name).write_text("years of work")
        with pytest.raises(OutputError, match=r"exists already|is a file"):
            simulate(SimulateConfig(output=tmp_path / name, n_galaxies=1, workers=1))
        assert (tmp_path / name).read_text() == "years of work"
    with pytest.raises(OutputError, match="nowhere does not exist"):
        simulate(SimulateConfig(output=tmp_path / "nowhere/survey", n_galaxies=1, workers=1))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_is_told_by_the_name_of_the_survey(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    survey = tmp_path / "survey"
    with full_disk(1000), pytest.raises(OutputError) as full:
        simulated(survey)
    assert f"{survey}/" in full.value.message
    assert ".part" not in full.value.message
    assert list(tmp_path.iterdir()) == []


def test_what_others_put_into_the_folder_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "survey"

    def write(name: str) -> None:
        with _new_folder(folder, overwrite=True) as new:
            (new / "cutouts/0000").mkdir(parents=True)
            for path in (new / "catalog.fits", new / f"cutouts/0000/{name}.fits"):
                path.write_text(name)

    write("1")
    (folder / "thesis.tex").write_text("years of work")
    write("2")
    found = {path.name: path.read_text() for path in folder.rglob("*.*")}
    assert found == {"catalog.fits": "2", "2.fits": "2", "thesis.tex": "years of work"}
    (folder / "cutouts/thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="holds other files"):
        write("3")
    assert (folder / "catalog.fits").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["survey"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int | None, /, **figures: float) -> None:
        if done:
            raise KeyboardInterrupt

    config = SimulateConfig(output=tmp_path / "survey", n_galaxies=2, size=64, workers=1)
    with pytest.raises(KeyboardInterrupt):
        simulate(config, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("fitsverify") is None, reason="fitsverify is not installed")
def test_fitsverify_finds_nothing(survey: Path, tmp_path: Path) -> None:
    packed = simulated(tmp_path / "packed", compress=True)
    names = [survey, *survey.parent.rglob("1.fits"), *packed.parent.rglob("1.fits")]
    for name in names:
        done = subprocess.run(["fitsverify", "-q", name], capture_output=True, text=True)
        assert done.stdout.startswith("verification OK"), done.stdout
