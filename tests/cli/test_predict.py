"""``photoz-ssl predict`` from end to end: real files, a toy model, the clients astronomers use."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.table import Table
from numpy.typing import NDArray

from photoz_ssl.cli import main
from photoz_ssl.config import EvaluateConfig
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.workflows.evaluate import evaluate
from tests.processes import COMMAND_LINE, Fork

N_GALAXIES = 12
SIZE = 72

CATALOG_DTYPE = np.dtype(
    [
        ("OBJID", "i8"),
        ("RA", "f8"),
        ("DEC", "f8"),
        ("EBV", "f4"),
        ("Z_SPEC", "f4"),
        ("CUTOUT", "S24"),
    ]
)
UNITS = ["", "deg", "deg", "mag", "", ""]


def write_cutout(path: Path, *, bands: int = 5, unit: str = "nanomaggy", seed: int = 0) -> None:
    image = np.random.default_rng(seed).normal(0.1, 0.05, (bands, SIZE, SIZE)).astype("f4")
    with fitsio.FITS(str(path), "rw", clobber=True) as file:
        file.write(image, header=[{"name": "BUNIT", "value": unit}])


def write_catalog(path: Path, table: NDArray[np.void]) -> None:
    with fitsio.FITS(str(path), "rw", clobber=True) as file:
        file.create_table_hdu(dtype=table.dtype, extname="GALAXIES")
        if len(table):
            file[1].write(table)


def galaxies(n: int = N_GALAXIES) -> NDArray[np.void]:
    table = np.zeros(n, CATALOG_DTYPE)
    table["OBJID"] = 10 + np.arange(n)
    table["RA"], table["DEC"] = np.linspace(10, 20, n), np.linspace(-5, 5, n)
    table["EBV"], table["Z_SPEC"] = 0.05, 0.1
    table["CUTOUT"] = [f"stamps/{number}.fits" for number in range(n)]
    return table


def write_survey(folder: Path) -> Path:
    (folder / "stamps").mkdir()
    table = galaxies()
    for number in range(len(table)):
        write_cutout(folder / "stamps" / f"{number}.fits", seed=number)
    write_catalog(folder / "catalog.fits", table)
    return folder / "catalog.fits"


@pytest.fixture
def survey(tmp_path: Path) -> Path:
    """A catalogue with a folder of cutouts."""
    return write_survey(tmp_path)


@pytest.fixture(scope="module")
def piped(
    model: Path, tmp_path_factory: pytest.TempPathFactory
) -> subprocess.CompletedProcess[bytes]:
    """Predict from standard input to standard output."""
    survey = write_survey(tmp_path_factory.mktemp("piped"))
    command = [sys.executable, "-m", "photoz_ssl", "predict", "-", "--model", str(model)]
    command += ["--cutouts", f"{survey.parent}/{{CUTOUT}}"]
    with survey.open("rb") as catalog:
        return subprocess.run(command, stdin=catalog, capture_output=True, check=False)


@dataclass
class Outcome:
    """What a command left behind."""

    code: int
    stderr: str

    @property
    def sentences(self) -> list[str]:
        return [line for line in self.stderr.splitlines() if not line.startswith("predicting")]


Run = Callable[..., Outcome]


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run predict in this process with the toy model; standard output must stay empty."""

    def call(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["predict", *map(str, arguments), "--model", str(model), "--workers", "1"])
        captured = capsys.readouterr()
        assert captured.out == ""
        assert isinstance(stop.value.code, int)
        return Outcome(stop.value.code, captured.err)

    return call


def assert_one_clear_sentence(outcome: Outcome, code: int, pattern: str) -> None:
    assert outcome.code == code, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert re.search(pattern, outcome.stderr), outcome.stderr
    if code == 1:
        assert outcome.sentences[-2].startswith("Error: "), outcome.stderr
        assert outcome.sentences[-1].startswith("Hint: "), outcome.stderr


def require(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def test_a_catalogue_and_nothing_else_gives_a_table_beside_it(survey: Path, run: Run) -> None:
    outcome = run(survey)
    assert outcome.code == 0, outcome.stderr
    table = fitsio.read(survey.with_name("catalog.photoz.fits"), ext="PHOTOZ")
    np.testing.assert_array_equal(table["OBJID"], galaxies()["OBJID"])
    assert np.isfinite(table["Z_PHOT_MEAN"]).all()
    assert len(np.unique(table["Z_PHOT_MEAN"])) == N_GALAXIES
    np.testing.assert_allclose(table["EBV"], 0.05, rtol=1e-6)
    assert "12 redshifts (0 flagged)" in outcome.sentences[-1]
    assert "model toy 1 (trained on simulations: none at all)" in outcome.sentences[-1]


def test_cfitsio_s_brackets_choose_rows(survey: Path, run: Run) -> None:
    assert run(f"{survey}[1][OBJID > 15]").code == 0
    table = fitsio.read(survey.with_name("catalog.photoz.fits"), ext="PHOTOZ")
    np.testing.assert_array_equal(table["OBJID"], np.arange(16, 22))


@pytest.mark.parametrize(
    ("suffix", "kind"), [("vot", "votable"), ("ecsv", "ascii.ecsv"), ("parquet", "parquet")]
)
def test_a_catalogue_in_another_format_gives_the_same_redshifts(
    survey: Path, run: Run, suffix: str, kind: str
) -> None:
    catalog, output = survey.with_suffix(f".{suffix}"), survey.with_name(f"z.{suffix}")
    table = Table.read(survey)
    table.convert_bytestring_to_unicode()
    table.write(catalog, format=kind)
    assert run(survey, "-o", survey.with_name("z.fits")).code == 0
    assert run(catalog).code == 0
    assert run(catalog, "-o", output).code == 0
    expected = fitsio.read(survey.with_name("z.fits"), ext="PHOTOZ")
    found = fitsio.read(survey.with_name("catalog.photoz.fits"), ext="PHOTOZ")
    assert found.dtype.names == expected.dtype.names
    for name in expected.dtype.names:
        np.testing.assert_array_equal(found[name], expected[name])
    qualities = [
        evaluate(EvaluateConfig(predictions=str(path))).quality
        for path in (survey.with_name("z.fits"), output)
    ]
    assert qualities[0] == qualities[1]


def test_an_archive_works_like_a_catalogue(tiny_archive: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "out.fits"
    assert run(tiny_archive, "-o", output).code == 0
    table = fitsio.read(output, ext="PHOTOZ")
    np.testing.assert_array_equal(table["OBJID"], 1000 + np.arange(24))
    assert np.isfinite(table["Z_PHOT_MEAN"]).all()


def test_quiet_says_nothing(survey: Path, run: Run) -> None:
    assert run(survey, "-q") == Outcome(0, "")


def test_verbose_says_what_is_read_chosen_and_written(
    survey: Path, tiny_archive: Path, model: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("photoz_ssl")
    monkeypatch.setattr(logger, "handlers", [])
    before = logger.level
    try:
        of_catalog = run(survey, "-v")
        of_archive = run(tiny_archive, "-v", "-o", survey.with_name("z.fits"))
    finally:
        logger.setLevel(before)
    told = [line.partition(": ")[2] for line in of_catalog.sentences]
    for line in (
        f"read the catalogue {survey}, 12 rows",
        f"read the model {model}",
        "PyTorch runs the network on cpu",
        f"wrote {survey.with_name('catalog.photoz.fits')}",
    ):
        assert line in told
    assert f"read the archive {tiny_archive}, 24 rows" in of_archive.stderr


def test_one_bad_cutout_is_flagged_and_said_and_the_rest_go_on(survey: Path, run: Run) -> None:
    stamps = survey.parent / "stamps"
    write_cutout(stamps / "2.fits", bands=3)
    write_cutout(stamps / "4.fits", unit="counts")
    (stamps / "5.fits").unlink()
    (stamps / "7.fits").write_bytes((stamps / "7.fits").read_bytes()[:9000])
    outcome = run(survey)
    assert outcome.code == 0, outcome.stderr
    table = fitsio.read(survey.with_name("catalog.photoz.fits"), ext="PHOTOZ")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(table["Z_PHOT_MEAN"])), [2, 4, 5, 7])
    assert table["FLAGS"][2] & RowFlag.WRONG_SHAPE
    assert table["FLAGS"][4] & RowFlag.WRONG_UNIT
    assert table["FLAGS"][5] & RowFlag.IMAGE_MISSING
    assert table["FLAGS"][7] & RowFlag.IMAGE_DAMAGED
    assert len([line for line in outcome.sentences if line.startswith("Note: 1 of 12")]) == 4


@pytest.mark.parametrize(
    ("break_it", "pattern"),
    [
        (lambda path: write_cutout(path, bands=3), r"\b3\b"),
        (lambda path: write_cutout(path, unit="counts"), "counts"),
        (lambda path: path.unlink(), r"\.fits"),
        (lambda path: path.write_text("not an image"), r"\.fits"),
        (lambda path: path.write_bytes(path.read_bytes()[:9000]), r"\.fits"),
    ],
    ids=["three bands", "in counts", "missing", "text", "truncated"],
)
def test_cutouts_of_which_none_is_usable_are_an_error(
    survey: Path, run: Run, break_it: Callable[[Path], object], pattern: str
) -> None:
    for path in sorted((survey.parent / "stamps").iterdir()):
        break_it(path)
    assert_one_clear_sentence(run(survey), 1, pattern)
    assert_nothing_new(survey)


def assert_nothing_new(survey: Path) -> None:
    assert {path.name for path in survey.parent.iterdir()} <= {"catalog.fits", "stamps"}


def test_an_unknown_option_is_a_usage_error(survey: Path, run: Run) -> None:
    assert_one_clear_sentence(run(survey, "--no-such-option"), 2, "No such option")


def test_a_missing_file_is_told_without_loading_torch(survey: Path) -> None:
    program = (
        "import sys\n"
        "from photoz_ssl.cli import main\n"
        "try:\n"
        "    main(['predict', 'nowhere.fits'])\n"
        "except SystemExit as stop:\n"
        "    print(stop.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=survey.parent,
        check=False,
    )
    assert done.stdout.split() == ["1", "False"]
    assert "nowhere.fits" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_existing_output_is_refused(survey: Path, run: Run) -> None:
    output = survey.with_name("catalog.photoz.fits")
    output.write_text("precious")
    assert_one_clear_sentence(run(survey), 1, "exists already")
    assert output.read_text() == "precious"
    assert run(survey, "--overwrite").code == 0
    assert len(fitsio.read(output, ext="PHOTOZ")) == N_GALAXIES


@pytest.mark.parametrize("catalog", ["text.fits", "truncated.fits", "nothing.fits"])
def test_a_catalogue_that_is_none_is_one_clear_sentence(
    survey: Path, run: Run, catalog: str
) -> None:
    path = survey.with_name(catalog)
    if catalog == "text.fits":
        path.write_text("OBJID RA DEC\n1 2 3\n" * 300)
    elif catalog == "truncated.fits":
        path.write_bytes(survey.read_bytes()[: 2880 * 2 + 300])
    else:
        path.write_bytes(b"")
    assert_one_clear_sentence(run(path), 1, re.escape(catalog))
    path.unlink()
    assert_nothing_new(survey)


def test_without_coordinates_or_ids_or_images_it_says_so(survey: Path, run: Run) -> None:
    table = galaxies()
    bare = np.zeros(len(table), [("MAG", "f4")])
    write_catalog(survey, bare)
    assert_one_clear_sentence(run(survey), 1, "catalog.fits")
    assert_nothing_new(survey)


def test_without_coordinates_and_reddening_it_says_so(survey: Path, run: Run) -> None:
    table = galaxies()
    bare = np.zeros(len(table), [("OBJID", "i8"), ("CUTOUT", "S24")])
    bare["OBJID"], bare["CUTOUT"] = table["OBJID"], table["CUTOUT"]
    write_catalog(survey, bare)
    assert_one_clear_sentence(run(survey), 1, r"E\(B-V\)|RA")
    assert_nothing_new(survey)


def test_an_unknown_column_to_keep_is_one_clear_sentence(survey: Path, run: Run) -> None:
    assert_one_clear_sentence(run(survey, "--keep-columns", "COLOUR"), 1, "COLOUR")
    assert_nothing_new(survey)


def test_a_model_that_is_none_is_one_clear_sentence(
    survey: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = survey.with_name("model.safetensors")
    model.write_text("not a model")
    with pytest.raises(SystemExit) as stop:
        main(["predict", str(survey), "--model", str(model)])
    assert stop.value.code == 1
    assert "model.safetensors" in capsys.readouterr().err
    assert not survey.with_name("catalog.photoz.fits").exists()


FULL_DISK = f"""
import resource
import photoz_ssl.workflows.trained.inference, photoz_ssl.workflows.predict
resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))
{COMMAND_LINE}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on the size of files")
def test_a_full_disk_is_one_clear_sentence(survey: Path, model: Path) -> None:
    arguments = ["predict", str(survey), "--pdf", "--model", str(model), "--workers", "1"]
    code, told = Fork(FULL_DISK, *arguments).ended()
    assert_one_clear_sentence(Outcome(code, told), 1, "disk")
    assert_nothing_new(survey)


def test_stdout_carries_fits_and_nothing_else(
    piped: subprocess.CompletedProcess[bytes], tmp_path: Path
) -> None:
    assert piped.returncode == 0, piped.stderr.decode()
    assert piped.stdout.startswith(b"SIMPLE  =")
    assert len(piped.stdout) % 2880 == 0
    assert b"12 redshifts" in piped.stderr
    (tmp_path / "piped.fits").write_bytes(piped.stdout)
    assert len(fitsio.read(tmp_path / "piped.fits", ext="PHOTOZ")) == N_GALAXIES


CLOSED_PIPE = f"""
reading, writing = os.pipe()
os.dup2(writing, 1)
os.close(writing)
os.close(reading)
{COMMAND_LINE}
"""


def test_a_closed_pipe_ends_quietly(survey: Path, model: Path) -> None:
    writer = Fork(CLOSED_PIPE, "predict", survey, "--model", model, "-o", "-", "-q")
    assert writer.ended() == (0, "")


def test_fitsverify_finds_nothing(survey: Path, run: Run) -> None:
    fitsverify = require("fitsverify")
    assert run(survey, "--pdf").code == 0
    done = subprocess.run(
        [fitsverify, survey.with_name("catalog.photoz.fits")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "found 0 warning(s) and 0 error(s)" in done.stdout, done.stdout


def test_stilts_reads_a_pipe_and_knows_every_column(
    piped: subprocess.CompletedProcess[bytes],
) -> None:
    stilts = require("stilts")
    describe = ["cmd=addcol dz Z_PHOT_MEAN-Z_SPEC", "cmd=meta name units ucd description"]
    done = subprocess.run(
        [stilts, "tpipe", "in=-", "ifmt=fits", *describe, "omode=out", "ofmt=csv"],
        input=piped.stdout,
        capture_output=True,
        check=True,
    )
    lines = done.stdout.decode().splitlines()[1:]
    ours = {line.split(",")[0]: line.split(",") for line in lines}
    assert ours["RA"][1:3] == ["deg", "pos.eq.ra;meta.main"]
    assert ours["EBV"][1] == "mag"
    assert all(fields[3] for name, fields in ours.items() if name != "dz")
    assert all(fields[2] for name, fields in ours.items() if name != "dz")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_qp_reads_the_means(survey: Path, run: Run) -> None:
    qp = pytest.importorskip("qp", exc_type=ImportError)
    assert run(survey, "--pdf").code == 0
    output = survey.with_name("catalog.photoz.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        means = qp.read(str(output)).mean().ravel()
    np.testing.assert_allclose(means, fitsio.read(output, ext="PHOTOZ")["Z_PHOT_MEAN"], atol=1e-4)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_qp_reads_quantiles(survey: Path, run: Run) -> None:
    qp = pytest.importorskip("qp", exc_type=ImportError)
    assert run(survey, "--pdf", "quantiles:20").code == 0
    output = survey.with_name("catalog.photoz.fits")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ensemble = qp.read(str(output))
        below, above = (ensemble.ppf(share).ravel() for share in (0.475, 0.525))
    assert ensemble.objdata["locs"].shape[1] == 22
    median = fitsio.read(output, ext="PHOTOZ")["Z_PHOT_MEDIAN"]
    assert (below < median).all()
    assert (median < above).all()


def test_pdf_takes_a_form_and_not_the_catalogue(survey: Path, run: Run) -> None:
    done = run("--pdf", survey)
    assert done.code == 2
    assert "is not hist, quantiles:20 (from 2 to 999) or none" in done.stderr
    assert run(survey, "--pdf", "quantiles:1").code == 2
