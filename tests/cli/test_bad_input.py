"""Every command given what it cannot use: one sentence, one hint, and nothing left behind."""

from __future__ import annotations

import gzip
import io
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import fitsio
import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.cli import main

N_GALAXIES = 6
COLUMNS = [("OBJID", "i8"), ("RA", "f8"), ("DEC", "f8"), ("EBV", "f4"), ("Z_SPEC", "f4")]
ESTIMATES = ("Z_PHOT_MEAN", "Z_PHOT_L68", "Z_PHOT_U68", "Z_PHOT_L95", "Z_PHOT_U95", "Z_PHOT_ODDS")
FullDisk = Callable[[int], AbstractContextManager[None]]

COMMANDS = {
    "predict": ["predict", "INPUT", "--model", "MODEL", "-o", "out.fits", "--pdf"],
    "prepare": ["prepare", "INPUT", "--size", "64", "-o", "out.h5"],
    "embed": ["embed", "INPUT", "--model", "MODEL", "-o", "out.h5"],
    "similar": [
        *("similar", "INPUT", "--among", "catalog.fits", "--model", "MODEL"),
        *("-o", "out.fits", "--mosaic", "out.png"),
    ],
    "evaluate": ["evaluate", "INPUT", "--json", "out.json", "--plot", "figures"],
}


def table_of(n: int, columns: list[tuple[str, str]]) -> NDArray[np.void]:
    rows = np.zeros(n, columns)
    for name, values in (
        ("OBJID", 1 + np.arange(n)),
        ("RA", np.linspace(10, 20, n)),
        ("EBV", 0.03),
        ("Z_SPEC", 0.1),
        ("CUTOUT", [f"{1 + number}.fits" for number in range(n)]),
    ):
        if name in (rows.dtype.names or ()):
            rows[name] = values
    return rows


def write_table(path: Path, rows: NDArray[np.void]) -> None:
    with fitsio.FITS(str(path), "rw", clobber=True) as file:
        file.create_table_hdu(dtype=rows.dtype, extname="GALAXIES")
        if len(rows):
            file[1].write(rows)


def write_cutout(path: Path, bands: int = 5, unit: str = "nanomaggy") -> None:
    image = np.random.default_rng(len(path.name)).normal(0.1, 0.05, (bands, 64, 64)).astype("f4")
    fitsio.write(str(path), image, header={"BUNIT": unit}, clobber=True)


@pytest.fixture
def survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a catalogue, its cutouts and a redshift table; commands run in it."""
    folder, scratch = tmp_path / "survey", tmp_path / "scratch"
    folder.mkdir()
    scratch.mkdir()
    write_table(folder / "catalog.fits", table_of(N_GALAXIES, [*COLUMNS, ("CUTOUT", "S12")]))
    for number in range(N_GALAXIES):
        write_cutout(folder / f"{1 + number}.fits")
    predictions = table_of(N_GALAXIES, [*COLUMNS, *((name, "f4") for name in ESTIMATES)])
    predictions["Z_PHOT_MEAN"] = predictions["Z_SPEC"] + 0.01
    write_table(folder / "redshifts.fits", predictions)
    (folder / "notes").write_text("dark night")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return folder


@dataclass
class Outcome:
    """What a command said, how it ended, and which files it left."""

    code: int
    stdout: str
    stderr: str
    new: set[str]

    def assert_one_sentence(self, words: str) -> None:
        assert self.code == 1, self.stderr
        assert self.stdout == ""
        *before, error, hint = self.stderr.splitlines()
        assert not before
        assert error.startswith("Error: ")
        assert error.endswith(".")
        assert words in error, error
        assert hint.startswith("Hint: ")
        assert hint.endswith(".")
        kept = {path for path in self.new if path.endswith(".part")}
        assert self.new == kept
        assert bool(kept) == hint.endswith("--resume goes on.")


Run = Callable[..., Outcome]


@pytest.fixture
def run(survey: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""

    def files() -> set[str]:
        found = (str(path.relative_to(survey.parent)) for path in survey.parent.rglob("*"))
        return {name for name in found if "torchinductor" not in name}

    def call(arguments: list[str], given: str = "catalog.fits") -> Outcome:
        before = files()
        capsys.readouterr()
        spelled = {"INPUT": given, "MODEL": str(model)}
        with pytest.raises(SystemExit) as stop:
            main([spelled.get(argument, argument) for argument in arguments])
        said = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return Outcome(stop.value.code, said.out, said.err, files() - before)

    return call


BAD_TABLES = {
    "missing.fits": "there is no catalogue missing.fits",
    "text.fits": "text.fits is not a FITS file",
    "text.fits.gz": "text.fits.gz is not a FITS file",
    "truncated.fits": "truncated.fits is truncated",
    "half.fits": "half.fits is damaged",
    "half.fits.gz": "half.fits.gz cannot be unpacked",
    "nothing.fits": "nothing.fits is an empty file",
    "image.fits": "image.fits holds no table",
    "empty.fits": "empty.fits has no rows",
    "folder": "folder is a folder",
    "pipe": "pipe is a pipe",
    "bare.fits": "bare.fits",
    "": "no catalogue is named",
    "-": "the table on standard input is not a FITS file",
    "catalog.fits[9]": "extension number 9 doesn't exist",
    "catalog.fits[1][COLOUR > 2]": "could not find column: COLOUR",
    "catalog.fits[1][RA > 999]": "selects no rows",
}


TAKE_NOTHING = ("predict", "similar")
"""Commands of which a table without rows gives one."""


@pytest.mark.parametrize("table", ["empty.fits", "catalog.fits[1][RA > 999]"])
def test_of_a_table_without_rows_comes_one(table: str, survey: Path, run: Run) -> None:
    make_bad_tables(survey)
    outcome = run(["predict", table, "--cutouts", "{OBJID}.fits", "-o", "z.fits"])
    assert outcome.code == 0, outcome.stderr
    assert "0 galaxies" in outcome.stderr
    assert outcome.new == {"survey/z.fits"}


def make_bad_tables(folder: Path) -> None:
    content = (folder / "catalog.fits").read_bytes()
    (folder / "text.fits").write_text("RA DEC\n1 2\n" * 400)
    (folder / "text.fits.gz").write_text("RA DEC\n1 2\n" * 400)
    (folder / "truncated.fits").write_bytes(content[:-2880])
    (folder / "half.fits").write_bytes(content[:1500])
    (folder / "half.fits.gz").write_bytes(gzip.compress(content)[:300])
    (folder / "nothing.fits").touch()
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    fitsio.write(str(folder / "image.fits"), np.zeros((5, 64, 64), np.float32))
    write_table(folder / "empty.fits", table_of(0, COLUMNS))
    write_table(folder / "bare.fits", table_of(N_GALAXIES, [("OBJID", "i8"), ("CUTOUT", "S12")]))


@pytest.mark.parametrize("command", COMMANDS)
def test_tables_that_cannot_be_used(
    command: str, survey: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_bad_tables(survey)
    for name, words in BAD_TABLES.items():
        if "no rows" in words and command in TAKE_NOTHING:
            continue
        text = io.TextIOWrapper(io.BytesIO(b"RA DEC"))
        monkeypatch.setattr(sys, "stdin", text)
        run(COMMANDS[command], name).assert_one_sentence(words)


def test_a_table_without_positions_or_reddening_says_what_to_add(survey: Path, run: Run) -> None:
    make_bad_tables(survey)
    for command in ("predict", "prepare", "embed", "similar"):
        outcome = run(COMMANDS[command], "bare.fits")
        outcome.assert_one_sentence("bare.fits has no columns RA and DEC")
        assert "add the positions in degrees, or a column EBV" in outcome.stderr


@pytest.mark.parametrize("command", ["predict", "prepare", "embed", "similar"])
@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda path: write_cutout(path, bands=3), "1.fits has 3 bands, not 5"),
        (lambda path: write_cutout(path, unit="counts"), "1.fits is in 'counts'"),
        (lambda path: path.write_text("not an image"), "1.fits is truncated or not a readable"),
        (lambda path: path.unlink(), "there is no file 1.fits"),
    ],
    ids=["three bands", "counts", "text", "missing"],
)
def test_cutouts_of_which_none_can_be_used(
    command: str, break_it: Callable[[Path], object], words: str, survey: Path, run: Run
) -> None:
    for number in range(N_GALAXIES):
        break_it(survey / f"{1 + number}.fits")
    run(COMMANDS[command]).assert_one_sentence(words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "INPUT", "--cutouts", "{OBJID"], "the template '{OBJID' is malformed"),
        (["predict", "INPUT", "--cutouts", "{COLOUR}"], "no column of catalog.fits"),
        (["predict", "INPUT", "--frames", "nowhere"], "no folder of frames nowhere"),
        (["predict", "INPUT", "--dust-dir", "nowhere"], "is not in nowhere"),
        (["predict", "INPUT", "--model", "nowhere"], "no model file nowhere"),
        (["predict", "INPUT", "-o", "nowhere/x.fits"], "the folder nowhere does not exist"),
        (["prepare", "INPUT", "-o", "x.fits"], "x.fits is not named *.h5"),
        (["prepare", "INPUT", "-o", "x.h5", "--split-column", "RA"], "RA of catalog.fits is not"),
        (
            ["prepare", "INPUT", "-o", "x.h5", "--redshift-column", "CUTOUT"],
            "CUTOUT of catalog.fits does not hold one number",
        ),
        (["embed", "INPUT", "-o", "x.h5", "--model", "1.fits"], "1.fits is not a readable"),
        (["evaluate", "INPUT"], "no column Z_PHOT_MEAN"),
        (["evaluate", "redshifts.fits", "--redshift-column", "TRUTH"], "no column TRUTH"),
        (["simulate", "-n", "2", "-o", "nowhere/x"], "nowhere does not exist"),
        (["simulate", "-n", "2", "-o", "notes"], "notes is a file"),
    ],
)
def test_options_that_cannot_be_used(arguments: list[str], words: str, run: Run) -> None:
    run(arguments).assert_one_sentence(words)


EMBED = ["embed", "INPUT", "-o", "x.h5"]
FINETUNE = ["finetune", "INPUT", "-o", "x"]
PRETRAIN = ["pretrain", "INPUT", "-o", "x"]
SIMILAR = ["similar", "--among", "x.h5", "-o", "x.fits"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict", "INPUT", "--views", "3"], "Error: --views is 1 or 8\n"),
        (["predict", "INPUT", "--workers", "-1"], "--workers cannot be negative"),
        (["predict", "INPUT", "--shard", "0/3"], "--shard 0/3 is no share of the rows; say 1/8"),
        (["predict", "INPUT", "--pdf", "foo"], "'foo' is not hist"),
        (["predict", "--pdf", "INPUT"], "CATALOG goes before --pdf, or write --pdf=hist"),
        (["prepare", "INPUT", "-o", "x.h5", "--split", "1,2"], "--split takes three fractions"),
        (["prepare", "INPUT", "-o", "x.h5", "--seed", "-1"], "--seed must lie between 0 and"),
        (["evaluate", "redshifts.fits", "--seed", "-1"], "--seed must lie between 0 and"),
        (["simulate", "-n", "0", "-o", "x"], "--n-galaxies must be positive"),
        (["convert", "INPUT", "-o", "x.pth.tar"], "--output must be named NAME.safetensors"),
        ([*PRETRAIN, "--batchnorm-groups", "0"], "--batchnorm-groups must be positive"),
        ([*PRETRAIN, "--batchnorm-groups", "-8"], "--batchnorm-groups must be positive"),
        ([*PRETRAIN, "--projection-size", "0"], "--projection-size must lie in [1, "),
        ([*PRETRAIN, "--projection-size", "9" * 20], "--projection-size must lie in [1, "),
        ([*PRETRAIN, "--queue-size", "99999999999"], "--queue-size must lie in [1, "),
        ([*PRETRAIN, "--warmup-epochs", "nan"], "--warmup-epochs cannot be negative"),
        (
            [*PRETRAIN, "--epochs", "2", "--warmup-epochs", "2"],
            "--warmup-epochs must be less than --epochs",
        ),
        ([*PRETRAIN, "--max-reddening", "-1"], "--max-reddening cannot be negative"),
        ([*PRETRAIN, "--max-reddening", "1e300"], "--max-reddening cannot be negative, nor above"),
        ([*PRETRAIN, "--noise-range", "0,inf"], "--noise-range takes two numbers"),
        ([*PRETRAIN, "--noise-range", "0,1e300"], "--noise-range takes two numbers"),
        ([*PRETRAIN, "--temperature", "inf"], "--temperature must be positive"),
        ([*PRETRAIN, "--learning-rate", "inf"], "--learning-rate must be positive"),
        ([*FINETUNE, "--learning-rate", "1e39"], "--learning-rate must be positive, and below"),
        ([*PRETRAIN, "--weight-decay", "1e300"], "--weight-decay cannot be negative, nor above"),
        ([*PRETRAIN, "--max-shift", "-1"], "--max-shift must lie in [0, 32]"),
        ([*FINETUNE, "--max-shift", "1000"], "--max-shift must lie in [0, 32]"),
        ([*FINETUNE, "--weight-decay", "nan"], "--weight-decay cannot be negative"),
        ([*FINETUNE, "--encoder-rate", "inf"], "--encoder-rate cannot be negative"),
        ([*FINETUNE, "--encoder-rate", "1e41"], "--encoder-rate cannot be negative, nor, times"),
        ([*FINETUNE, "--label-blur", "1e-300"], "--label-blur takes 0, or 0.01 bins and more"),
        ([*EMBED, "--whiten"], "--whiten goes with --dim"),
        ([*EMBED, "--shard", "4/3"], "--shard 4/3 is no share"),
        ([*SIMILAR, "INPUT", "-k", "0"], "-k must be positive"),
        ([*SIMILAR, "INPUT", "--near", "1,2"], "are questions of their own"),
    ],
)
def test_options_that_are_never_right_are_usage_errors(
    arguments: list[str], words: str, run: Run
) -> None:
    outcome = run(arguments)
    assert (outcome.code, outcome.stdout, outcome.new) == (2, "", set())
    usage, advice, blank, error = outcome.stderr.splitlines()
    assert usage.startswith("Usage: ")
    assert f" {arguments[0]} [OPTIONS]" in usage
    assert f" {arguments[0]} --help' for help." in advice
    assert not blank
    assert words in error + "\n"


def test_what_is_found_later_names_the_command_whose_help_tells_more(run: Run) -> None:
    outcome = run(["similar", "INPUT", "--among", "INPUT", "-o", "x.fits", "--where", "1 +"])
    assert outcome.code == 1
    assert "COMMAND" not in outcome.stderr


def test_a_mosaic_under_the_name_of_the_table_is_refused(run: Run) -> None:
    arguments = [*COMMANDS["similar"][:-3], "out.png", "--mosaic", "out.png"]
    run(arguments).assert_one_sentence("the same file")


@pytest.mark.parametrize(
    "arguments",
    [
        ["evaluate", "redshifts.fits", "--json", "redshifts.fits"],
        ["predict", "INPUT", "--model", "notes", "-o", "notes"],
        ["predict", "INPUT", "--neighbours", "notes", "-o", "notes"],
        ["embed", "INPUT", "--model", "notes", "-o", "notes"],
        ["similar", "INPUT", "--among", "INPUT", "--model", "notes", "-o", "notes"],
        ["similar", "--like", "1.fits", "--among", "INPUT", "-o", "1.fits"],
        ["similar", "--like", "2.fits", "--unlike", "1.fits", "--among", "INPUT", "-o", "1.fits"],
    ],
)
def test_no_input_is_replaced(arguments: list[str], survey: Path, run: Run) -> None:
    path = survey / arguments[-1]
    before = path.read_bytes()
    run([*arguments, "--overwrite"]).assert_one_sentence("is the input")
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("most_bytes", [4_000, 20_000])
def test_a_full_disk(
    command: str, most_bytes: int, survey: Path, run: Run, full_disk: FullDisk
) -> None:
    arguments = [*COMMANDS[command]]
    if command == "similar":
        atlas = run(COMMANDS["embed"])
        assert atlas.code == 0, atlas.stderr
        arguments[3] = "out.h5"
    with full_disk(most_bytes):
        outcome = run(arguments, "redshifts.fits" if command == "evaluate" else "catalog.fits")
    outcome.assert_one_sentence("disk")


def test_a_full_temporary_folder(survey: Path, run: Run, full_disk: FullDisk) -> None:
    with full_disk(4_000):
        run(COMMANDS["similar"]).assert_one_sentence("for a passing atlas of catalog.fits")
        run(["predict", "INPUT", "--model", "MODEL", "-o", "-"]).assert_one_sentence("scratch")


def test_a_table_on_standard_input_that_does_not_fit(
    survey: Path, run: Run, full_disk: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("predict", "evaluate"):
        content = io.BytesIO((survey / "catalog.fits").read_bytes())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
        with full_disk(4_000):
            outcome = run(COMMANDS[command], "-")
        outcome.assert_one_sentence("for the table on standard input")
        assert "TMPDIR" in outcome.stderr
