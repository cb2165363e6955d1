"""Dask workers, as processes of their own: the bytes are those of one process."""

from __future__ import annotations

import gc
import os
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import ConfigError
from photoz_ssl.progress import Stopped, silent
from photoz_ssl.survey.dust import SFD_FILES
from photoz_ssl.workflows.jobs import dask_blocks
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.prediction.prediction_job import PredictionJob
from tests.processes import forked_workers

USUAL_PORT = 8787

distributed = pytest.importorskip("distributed", reason="needs the extra [dask]")
dask = pytest.importorskip("dask", reason="needs the extra [dask]")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two workers, which are started again when they die."""
    with (
        forked_workers(),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=50,
        ) as cluster,
    ):
        yield cluster


@pytest.fixture(autouse=True)
def _same_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")


def config(archive: Path, output: Path, **options: Any) -> PredictConfig:
    return PredictConfig(
        catalog=str(archive), output=str(output), **{"batch_size": 1, "pdf": "hist", **options}
    )


def test_workers_start_beside_those_of_another_job() -> None:
    with socket.socket() as taken, ExitStack() as stack:
        with suppress(OSError):  # another job has it already
            taken.bind(("127.0.0.1", USUAL_PORT))
            taken.listen()
        dask_blocks.dask_client("local:1", stack)  # a warning of Dask's would be an error


def test_a_worker_killed_in_mid_run_changes_nothing(
    cluster: Any, tiny_archive: Path, tmp_path: Path
) -> None:
    predict(config(tiny_archive, tmp_path / "alone.fits"))
    killed: list[int] = []

    def kill_one(stage: str, done: int, total: int | None, /, **figures: float) -> None:
        if done == 3:
            with distributed.Client(cluster.scheduler_address) as client:
                killed.append(next(iter(client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    predict(
        config(tiny_archive, tmp_path / "many.fits", dask=cluster.scheduler_address),
        progress=kill_one,
    )
    assert killed
    assert (tmp_path / "many.fits").read_bytes() == (tmp_path / "alone.fits").read_bytes()


def test_one_process_goes_on_with_what_workers_have_begun(
    cluster: Any, tiny_archive: Path, tmp_path: Path
) -> None:
    predict(config(tiny_archive, tmp_path / "alone.fits"))
    options = config(tiny_archive, tmp_path / "z.fits", dask=cluster.scheduler_address)
    with pytest.raises(Stopped):
        predict(options, stop=lambda: True)
    predict(config(tiny_archive, tmp_path / "z.fits", resume=True))
    assert (tmp_path / "z.fits").read_bytes() == (tmp_path / "alone.fits").read_bytes()


def test_workers_that_see_something_else_are_refused(
    cluster: Any, tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PredictionJob, "identity", lambda job: {"model": "another"})
    with pytest.raises(ConfigError, match="a Dask worker differs in"):
        predict(config(tiny_archive, tmp_path / "z.fits", dask=cluster.scheduler_address))


class WorkersHere:
    """What stands for a client: each block is computed at once, in this process."""

    def scheduler_info(self) -> dict[str, Any]:
        return {"workers": {}}

    def submit(self, compute: Callable[..., Any], *arguments: Any, pure: bool) -> Future[Any]:
        gc.collect()  # what nobody holds is closed in a worker, too
        done: Future[Any] = Future()
        done.set_result(compute(*arguments))
        return done


def test_a_catalogue_with_relative_paths_is_the_same_for_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    rows = np.zeros(4, [("OBJID", "i8"), ("RA", "f8"), ("DEC", "f8"), ("EBV", "f4")])
    rows["OBJID"], rows["RA"], rows["EBV"] = np.arange(4), np.linspace(10, 20, 4), 0.05
    fitsio.write(str(tmp_path / "cat.fits"), rows)
    (tmp_path / "stamps").mkdir()
    (tmp_path / "dust").mkdir()
    for name in SFD_FILES:  # not read, as there is a column EBV
        (tmp_path / "dust" / name).touch()
    for number in range(4):
        image = generator.normal(0.2, 0.05, (5, 64, 64)).astype(np.float32)
        fitsio.write(str(tmp_path / f"stamps/{number}.fits"), image, header={"BUNIT": "nanomaggy"})

    def client(address: str, stack: ExitStack) -> WorkersHere:
        stack.callback(dask_blocks._job_of_this_process.cache_clear)
        return WorkersHere()

    monkeypatch.setattr(dask_blocks, "dask_client", client)
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {
        "cutouts": "stamps/{OBJID}.fits",
        "dust_dir": Path("dust"),
        "batch_size": 2,
    }
    for output, dask in (("alone.fits", None), ("many.fits", "local:2")):
        predict(PredictConfig(catalog="cat.fits", output=output, dask=dask, **options))
    assert (tmp_path / "many.fits").read_bytes() == (tmp_path / "alone.fits").read_bytes()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "local:0", "nonsense"])
def test_without_a_scheduler_there_is_one_sentence(
    address: str, tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_blocks, "SECONDS_TO_ANSWER", 1)
    with pytest.raises(ConfigError, match="no Dask scheduler answers at"):
        predict(config(tiny_archive, tmp_path / "z.fits", dask=address), progress=silent)


def test_a_stream_is_not_for_dask() -> None:
    with pytest.raises(ConfigError, match="--dask needs a catalogue"):
        PredictConfig(catalog="-", output="z.fits", dask="local:2")
