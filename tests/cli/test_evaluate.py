"""``evaluate`` on the command line: results on stdout, notices on stderr."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from photoz_ssl.cli import main
from photoz_ssl.cli.evaluate import _bin_row, _metrics
from photoz_ssl.redshift.metrics import IntervalMetrics, point_metrics
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.writer import write_table
from photoz_ssl.workflows.evaluate import EvaluateReport, Quality, QualityInBin


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A redshift table of 40 galaxies without PDFs, one of them without a true redshift."""
    rows = np.zeros(40, [("Z_PHOT_MEAN", "f4"), ("Z_SPEC", "f4")])
    rows["Z_SPEC"] = np.linspace(0.02, 0.3, 40)
    rows["Z_PHOT_MEAN"] = rows["Z_SPEC"] + 0.012345 * (1 + rows["Z_SPEC"])
    rows["Z_SPEC"][7] = np.nan
    path = tmp_path / "cat.photoz.fits"
    columns = [TableColumn(name) for name in rows.dtype.names or ()]
    with write_table(str(path), extname="PHOTOZ", columns=columns, dtype=rows.dtype) as writer:
        writer.append(rows)
    return path


@dataclass
class Outcome:
    """What the command left behind."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run evaluate in this process."""

    def call(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", *map(str, arguments)])
        assert isinstance(stop.value.code, int)
        return Outcome(stop.value.code, *capfd.readouterr())

    return call


def test_tables_on_stdout_and_notices_on_stderr(table: Path, run: Run) -> None:
    done = run(table)
    assert done.returncode == 0, done.stderr
    shown, told = done.stdout, done.stderr
    assert "+0.01234" in shown
    assert "outliers" in shown
    assert "Z_SPEC 0 to 0.05" in shown
    assert "1 of 40 rows has no spectroscopic redshift and is left out" in told
    assert "left out" not in shown
    assert max(map(len, shown.splitlines())) <= 120


@pytest.mark.parametrize("columns", ["40", "80"])
def test_no_number_is_cut_off_in_a_narrow_terminal(
    table: Path, columns: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = run(table).stdout
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("FORCE_COLOR", "1")
    narrow = re.sub(r"\x1b\[[0-9;]*m", "", run(table).stdout)
    assert narrow == wide
    assert "…" not in narrow
    assert max(map(len, narrow.splitlines()[1:])) <= 80


def test_one_galaxy_and_what_is_unknown_of_it(tmp_path: Path, run: Run) -> None:
    rows = np.array([(0.1, 0.1)], [("Z_PHOT_MEAN", "f4"), ("Z_SPEC", "f4")])
    path = tmp_path / "one.fits"
    columns = [TableColumn(name) for name in rows.dtype.names or ()]
    with write_table(str(path), extname="PHOTOZ", columns=columns, dtype=rows.dtype) as writer:
        writer.append(rows)
    shown = run(path).stdout
    assert "one.fits: 1 galaxy\n" in shown
    assert "–" in shown
    assert "nan" not in shown


def some_quality() -> Quality:
    truth = np.linspace(0.05, 0.3, 50)
    interval = IntervalMetrics(
        n_galaxies=50,
        n_dropped=0,
        coverage68=0.61,
        coverage68_error=0.02,
        coverage95=0.91,
        coverage95_error=0.01,
        odds=0.8,
    )
    point = replace(point_metrics(truth + 0.03, truth), outlier_fraction=0.125)
    return Quality(point=point, interval=interval, pdf=None)


def test_each_metric_is_told_by_its_name_and_shares_in_per_cent() -> None:
    quality = some_quality()
    told = {name: (value, error) for name, value, error in _metrics(quality)}
    assert told["inside the 68 % interval"] == ("61.00 %", "2.00 %")
    assert told["inside the 95 % interval"] == ("91.00 %", "1.00 %")
    assert told["outliers |Δz| > 0.05"][0] == "12.50 %"
    in_bin = _bin_row(QualityInBin(quantity="Z_SPEC", low=0.05, high=0.1, quality=quality))
    assert in_bin[:2] == ("Z_SPEC 0.05 to 0.1", "50")
    assert in_bin[4:] == ("12.50", "61.0", "", "")


def test_figures_are_counted_once_whatever_their_formats(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = EvaluateReport(
        predictions="z.fits",
        n_rows=50,
        quality=some_quality(),
        in_bins=(),
        pit_histogram=(),
        figures=tuple(Path(f"figures/{name}") for name in ("a.png", "a.pdf", "b.png", "b.pdf")),
    )
    monkeypatch.setattr("photoz_ssl.workflows.evaluate.evaluate", lambda config: report)
    for more, told in (([], "photoz-ssl: 2 figures → figures\n"), (["-q"], "")):
        with pytest.raises(SystemExit):
            main(["evaluate", "z.fits", "--plot", "figures", "--json", "-", *more])
        captured = capsys.readouterr()
        assert captured.err == told
        assert json.loads(captured.out)["n_galaxies"] == 50


def test_json_on_stdout_is_alone_there(table: Path, run: Run) -> None:
    done = run(table, "--json", "-", "--quiet")
    assert json.loads(done.stdout)["n_galaxies"] == 39
    assert done.stderr == ""


def test_who_asks_for_quiet_gets_the_file_alone(table: Path, tmp_path: Path, run: Run) -> None:
    done = run(table, "--json", tmp_path / "metrics.json", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert "sigma_mad" in json.loads((tmp_path / "metrics.json").read_text())


def test_a_table_on_stdin(table: Path) -> None:
    command = [sys.executable, "-m", "photoz_ssl", "evaluate", "-", "--json", "-"]
    done = subprocess.run(command, input=table.read_bytes(), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_galaxies"] == 39


def test_json_in_a_file_and_the_tables_on_stdout(table: Path, tmp_path: Path, run: Run) -> None:
    done = run(table, "--json", tmp_path / "metrics.json")
    assert "scatter" in done.stdout
    assert json.loads((tmp_path / "metrics.json").read_text())["n_dropped"] == 1


def test_an_error_is_one_sentence_and_a_hint(table: Path, run: Run) -> None:
    done = run(table, "--redshift-column", "Z_TRUE")
    assert done.returncode == 1
    assert done.stdout == ""
    told = done.stderr
    assert told.startswith("Error: ")
    assert "Hint: name it with --redshift-column; its columns are Z_PHOT_MEAN, Z_SPEC." in told
    assert "Traceback" not in told


def test_help_ends_with_lines_to_paste(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "photoz-ssl evaluate catalog.photoz.fits --split test" in done.stdout
