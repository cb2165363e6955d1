"""Interrupted, resumed, sharded and merged: the bytes are those of a single run."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
from astropy.table import Table

from photoz_ssl.config import MergeConfig, PredictConfig
from photoz_ssl.errors import (
    ConfigError,
    CutoutError,
    MissingExtraError,
    OutputError,
    PartError,
    PhotozError,
)
from photoz_ssl.progress import Stopped
from photoz_ssl.survey.tables.part_file import PartWriter, locked_part, read_part
from photoz_ssl.workflows.jobs.shards import EMPTY_SHARD
from photoz_ssl.workflows.merge import merge
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.predict_check import check_prediction
from photoz_ssl.workflows.prediction import prediction_job
from photoz_ssl.workflows.prediction.redshift_files import write_redshifts
from photoz_ssl.workflows.trained.inference import Predictor

N_SHARDS = 3


@pytest.fixture(scope="module")
def archive(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same archive in a folder of its own."""
    return Path(shutil.copy(tiny_archive, tmp_path_factory.mktemp("merge") / "survey.h5"))


@pytest.fixture(autouse=True)
def _same_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


@pytest.fixture
def run(archive: Path, tmp_path: Path) -> Callable[..., Path]:
    """Predict in blocks of three rows; where the table or part is."""

    def run(output: str = "z.fits", **options: Any) -> Path:
        stop = options.pop("stop", lambda: False)
        config = PredictConfig(
            catalog=str(archive),
            output=str(tmp_path / output),
            **{"batch_size": 3, "pdf": "hist", **options},
        )
        return Path(predict(config, stop=stop, command_line="photoz-ssl predict").output)

    return run


@pytest.fixture
def whole(run: Callable[..., Path]) -> bytes:
    """The table of a run that was left alone."""
    return run("whole.fits").read_bytes()


def after(n_blocks: int) -> Callable[[], bool]:
    """A wish to stop that comes with some block."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= n_blocks


@pytest.mark.parametrize("n_blocks", [1, 2, 4])
def test_a_run_that_was_stopped_goes_on(
    n_blocks: int, run: Callable[..., Path], whole: bytes, tmp_path: Path
) -> None:
    with pytest.raises(Stopped) as stopped:
        run(stop=after(n_blocks))
    assert stopped.value.done == 3 * n_blocks
    assert read_part(tmp_path / "z.fits.part").n_done == 3 * n_blocks
    assert not (tmp_path / "z.fits").exists()
    assert run(resume=True).read_bytes() == whole
    assert not (tmp_path / "z.fits.part").exists()


def test_what_an_interrupted_run_has_done_is_not_thrown_away_unasked(
    run: Callable[..., Path], whole: bytes, archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        run(stop=after(2))
    kept = (tmp_path / "z.fits.part").read_bytes()
    with pytest.raises(PartError, match="--resume to go on from it, or --overwrite"):
        run()
    assert (tmp_path / "z.fits.part").read_bytes() == kept
    config = PredictConfig(catalog=str(archive), output=str(tmp_path / "z.fits"))
    with pytest.raises(PartError, match="--resume to go on from it, or --overwrite"):
        check_prediction(config)
    assert run(overwrite=True).read_bytes() == whole


def test_a_full_disk_keeps_what_is_done(
    run: Callable[..., Path], whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, sizes = PartWriter.write, iter([0, 0, 0, errno.ENOSPC])

    def fill(writer: PartWriter, content: bytes) -> None:
        if number := next(sizes, 0):
            write(writer, content[:100])
            raise OutputError(os.strerror(number), "free some space")
        write(writer, content)

    with monkeypatch.context() as patch, pytest.raises(OutputError, match="--resume goes on"):
        patch.setattr(PartWriter, "write", fill)
        run()
    assert read_part(tmp_path / "z.fits.part").n_done == 6
    assert run(resume=True).read_bytes() == whole


@pytest.mark.parametrize("resume", [True, False])
def test_a_process_that_is_refused_leaves_the_other_s_work_alone(
    resume: bool, run: Callable[..., Path], tmp_path: Path
) -> None:
    part = tmp_path / "z.fits.part"
    with (
        locked_part(part),  # of a process that is still at its first block
        pytest.raises(PartError, match="another process is writing"),
    ):
        run(resume=resume)
    assert part.exists()


def test_the_part_is_locked_until_the_table_is_there(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []

    def write_meanwhile(*given: Any, **options: Any) -> Any:
        with pytest.raises(PartError, match="another process is writing"):
            run()
        refused.append(1)
        return write_redshifts(*given, **options)

    monkeypatch.setattr("photoz_ssl.workflows.predict.write_redshifts", write_meanwhile)
    assert run().exists()
    assert refused
    assert not (tmp_path / "z.fits.part").exists()


@pytest.mark.parametrize("error", [ConfigError, CutoutError, OutputError])
def test_no_error_takes_finished_blocks_away(
    error: type[PhotozError], run: Callable[..., Path], whole: bytes, tmp_path: Path
) -> None:
    def fail() -> bool:
        raise error("the sky is cloudy", "wait")

    with pytest.raises(error, match="cloudy; wait; then the same command with --resume goes on"):
        run(stop=fail)
    assert read_part(tmp_path / "z.fits.part").n_done == 3
    assert run(resume=True).read_bytes() == whole


def test_a_format_that_cannot_be_written_is_told_before_the_first_block(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    def stop() -> bool:
        raise AssertionError("a block was computed")

    with pytest.raises(MissingExtraError, match="pyarrow"):
        run("z.parquet", stop=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_bytes", [0, 7, 18, 200])
def test_a_part_without_its_description_is_begun_anew(
    n_bytes: int, run: Callable[..., Path], whole: bytes, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        run(stop=after(1))
    part = tmp_path / "z.fits.part"
    part.write_bytes(part.read_bytes()[:n_bytes])
    assert run(resume=True).read_bytes() == whole


def test_another_size_of_batch_is_not_gone_on_with(run: Callable[..., Path]) -> None:
    with pytest.raises(Stopped):
        run(stop=after(1))
    with pytest.raises(PartError, match="begun with another --batch-size"):
        run(batch_size=4, resume=True)


def test_another_model_is_not_gone_on_with(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stopped):
        run(stop=after(1))
    load = prediction_job.load_predictor

    def load_another(config: PredictConfig, n_rows: int | None) -> Any:
        return dataclasses.replace(load(config, n_rows), sha256="0" * 64)

    monkeypatch.setattr(prediction_job, "load_predictor", load_another)
    with pytest.raises(PartError, match="begun with another model"):
        run(resume=True)


def test_another_option_is_not_gone_on_with(run: Callable[..., Path]) -> None:
    with pytest.raises(Stopped):
        run(stop=after(2))
    with pytest.raises(PartError, match="begun with another --keep-columns"):
        run(resume=True, keep_columns="none")


def test_a_changed_input_is_not_gone_on_with(
    run: Callable[..., Path], archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        run(stop=after(2))
    content = archive.read_bytes()
    try:
        archive.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(PartError, match="another content of the catalogue"):
            run(resume=True)
    finally:
        archive.write_bytes(content)
    assert (tmp_path / "z.fits.part").exists()


def test_merged_shards_are_the_single_run(
    run: Callable[..., Path], whole: bytes, tmp_path: Path
) -> None:
    parts = [run(shard=f"{number}/{N_SHARDS}") for number in (3, 1, 2)]
    assert [part.name for part in parts] == [f"z.fits.{n}-of-3.part" for n in (3, 1, 2)]
    output = tmp_path / "merged.fits"
    report = merge(MergeConfig(parts=tuple(map(str, parts)), output=str(output)))
    assert output.read_bytes() == whole
    assert report.n_parts == N_SHARDS
    assert "in 3 parts" in report.summary()


def test_rows_of_different_hardware_are_joined_and_told(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        run(shard="1/2", stop=after(2))
    monkeypatch.setattr(Predictor, "hardware", "GPU X")
    parts = tuple(str(run(shard=shard)) for shard in ("1/2", "2/2"))
    report = merge(MergeConfig(parts=parts, output=str(tmp_path / "merged.fits")))
    assert report.notices[-1].startswith("the rows were computed on GPU X and a CPU with ")


def test_a_finished_shard_is_passed_over(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = run(shard="2/3")
    content = part.read_bytes()

    def fail(*given: object) -> Iterator[object]:
        raise AssertionError("computed again")

    monkeypatch.setattr(prediction_job.PredictionJob, "begun", fail)
    assert run(shard="2/3").read_bytes() == content


def test_a_shard_that_was_stopped_goes_on_by_itself(run: Callable[..., Path]) -> None:
    expected = run(shard="1/2").read_bytes()
    with pytest.raises(Stopped):
        run(shard="1/2", overwrite=True, stop=after(1))
    assert run(shard="1/2").read_bytes() == expected


def test_a_share_of_another_division_is_refused(
    run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = run(shard="1/3")
    before = part.read_bytes()
    for name, value in {"ID": "3", "MIN": "3", "COUNT": "1", "STEP": "1"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)  # submitted again by itself
    with pytest.raises(PartError, match="is a share of 3") as refusal:
        run(shard="slurm")
    assert "--shard NUMBER/3" in refusal.value.hint
    assert [*part.parent.glob("*.part")] == [part]
    assert part.read_bytes() == before
    run("y.fits", shard="1/2")  # another output


def test_a_shard_without_rows_names_no_file(archive: Path, tmp_path: Path) -> None:
    config = PredictConfig(
        catalog=str(archive), output=str(tmp_path / "z.fits"), shard="1/20", batch_size=3
    )
    assert predict(config).summary() == EMPTY_SHARD
    assert not list(tmp_path.glob("z.fits*"))


def test_more_shards_than_blocks_are_merged_all_the_same(
    run: Callable[..., Path], whole: bytes, tmp_path: Path
) -> None:
    parts = [run(shard=f"{number}/20") for number in range(1, 21)]
    there = [str(part) for part in parts if part != Path()]
    assert len(there) < len(parts)
    merge(MergeConfig(parts=tuple(there), output=str(tmp_path / "merged.fits")))
    assert (tmp_path / "merged.fits").read_bytes() == whole


def test_what_does_not_make_a_whole_is_refused(run: Callable[..., Path], tmp_path: Path) -> None:
    one, two, three = (str(run(shard=f"{number}/3")) for number in (1, 2, 3))
    half = str(run("y.fits", shard="1/2"))
    other = str(run("x.fits", shard="2/3", keep_columns="none"))
    with pytest.raises(Stopped):
        run("w.fits", shard="2/3", stop=after(1))
    unfinished = str(tmp_path / "w.fits.2-of-3.part")
    output = tmp_path / "merged.fits"
    for parts, message in (
        ((one, three), "are in none of the parts"),
        ((two, three), "rows 1 to"),
        ((one, two), "are in none of the parts"),
        ((one, two, three, half), "are there twice"),
        ((one, other, three), "differ in --keep-columns"),
        ((one, unfinished, three), "is unfinished"),
        ((one, str(tmp_path / "none.part")), "cannot be read"),
    ):
        with pytest.raises(PartError, match=message):
            merge(MergeConfig(parts=parts, output=str(output)))
        assert not output.exists()


def test_a_shard_without_an_image_is_no_error_but_a_table_is(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "photoz_ssl.survey.blocks.GalaxyBlock.usable", property(lambda block: block.flags > 99)
    )
    parts = tuple(str(run(shard=f"{number}/2")) for number in (1, 2))
    with pytest.raises(CutoutError, match=r"no row of survey\.h5 has a usable image"):
        merge(MergeConfig(parts=parts, output=str(tmp_path / "merged.fits")))
    with pytest.raises(CutoutError):
        run()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        Path(part).name for part in parts
    )


def test_the_rows_of_the_pdfs_are_those_of_the_whole_table(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    parts = tuple(str(run(shard=f"{number}/2")) for number in (1, 2))
    merge(MergeConfig(parts=parts, output=str(tmp_path / "merged.fits")))
    with fitsio.FITS(str(tmp_path / "merged.fits")) as file:
        n_rows = file["PHOTOZ"].get_nrows()
        np.testing.assert_array_equal(file["ANCIL"]["ROW"].read(), np.arange(n_rows))


def test_another_format_is_chosen_by_the_suffix_and_merged_too(
    run: Callable[..., Path], tmp_path: Path
) -> None:
    whole = Table.read(run("z.ecsv"), format="ascii.ecsv")
    parts = tuple(str(run("y.ecsv", shard=f"{number}/2")) for number in (1, 2))
    merge(MergeConfig(parts=parts, output=str(tmp_path / "y.ecsv")))
    merged = Table.read(tmp_path / "y.ecsv", format="ascii.ecsv")
    assert list(map(str, whole)) == list(map(str, merged))
    assert whole.meta["DUSTMAP"].startswith("E(B-V) from the archive")


def test_a_qp_file_needs_parts_with_pdfs(run: Callable[..., Path], tmp_path: Path) -> None:
    part = str(run(shard="1/1", pdf="none"))
    with pytest.raises(PartError, match="hold no PDFs"):
        merge(MergeConfig(parts=(part,), output=str(tmp_path / "z.hdf5")))
