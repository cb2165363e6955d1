"""Redshifts for a HATS catalogue, partition by partition, through LSDB (extra ``[dask]``)."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from photoz_ssl import __version__
from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import CatalogError, ConfigError, OutputError, PhotozError
from photoz_ssl.extras import import_extra
from photoz_ssl.files import output_errors
from photoz_ssl.folders import remove_own, require_own
from photoz_ssl.progress import Stop, Stopped, never
from photoz_ssl.spec import NETWORK_SIZE, ImageSpec
from photoz_ssl.survey.catalog_source import catalog_source
from photoz_ssl.survey.exchange.formats import SUFFIXES_OF_TABLES
from photoz_ssl.survey.frame_catalog import catalog_of_frame
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.workflows.jobs.dask_blocks import dask_client, from_anywhere
from photoz_ssl.workflows.jobs.linear_algebra import in_one_thread
from photoz_ssl.workflows.jobs.tally import Tally, counts_of
from photoz_ssl.workflows.prediction.prediction_job import PredictionJob, job_on, load_predictor
from photoz_ssl.workflows.prediction.redshift_table import ESTIMATES, FLAGS, Layout

__all__ = ["is_hats", "predict_hats"]

MARKS = ("collection.properties", "hats.properties", "properties")
"""Files by one of which a folder is known as a HATS catalogue, or as a collection of them."""

SECONDS_BETWEEN_QUESTIONS = 0.2
"""How often it is asked whether workers are to stop."""

NEVER_WITH_HATS = {
    "shard": "--dask shares its partitions out",
    "samp": "programs load its partitions from the folder",
    "neighbours": "predict a table of them",
}


def is_hats(path: str) -> bool:
    """Whether a path is the folder of a HATS catalogue or collection."""
    folder = Path(path)
    return folder.is_dir() and any((folder / name).is_file() for name in MARKS)


def predict_hats(
    config: PredictConfig, *, show_progress: bool = False, stop: Stop = never
) -> tuple[Path, PredictionJob, Tally]:
    """Write the redshifts of a HATS catalogue as another one, of the same partitions and margins.

    Parameters
    ----------
    config : PredictConfig
        Its catalogue is a folder, and so is its output.
    show_progress : bool
        Whether LSDB is to show a bar on standard error.
    stop : callable
        Asked before every step, or with Dask's workers every now and then, whether to stop.

    Returns
    -------
    (Path, PredictionJob, Tally)
        The folder, what was done, and to how many rows of the catalogue, margins apart.

    Raises
    ------
    PhotozError
        If the output exists, the catalogue or the model cannot be read, they do not fit
        together, or not one row has a redshift.
    photoz_ssl.progress.Stopped
        If ``stop`` said so.
    """
    lsdb = import_extra(
        "lsdb", extra="dask", purpose="reading HATS catalogues with Python 3.11 or newer"
    )
    output = _claimed(config)
    with ExitStack() as stack:
        client = _arranged_workers(config, stack)
        catalog = _opened(lsdb, config.catalog)
        worker = from_anywhere(config)
        first = _first_rows(catalog, config.catalog)
        job = _job_for(first, worker, stack)
        meta = _with_redshifts(first, job).iloc[:0]
        predicted = catalog.map_partitions(predicted_frame, worker, meta, meta=meta)
        with output_errors(output), _stopping(stop, client, output, catalog.npartitions):
            predicted.write_catalog(
                output,
                catalog_name=output.name,
                overwrite=config.overwrite and not config.resume,
                resume=config.resume,
                addl_hats_properties=_properties(job),
                progress_bar=show_progress,
            )
        tables = [Path(part.parent) for part in sorted(output.glob("**/dataset"))]
        for table in tables:
            _describe(table, job.layout)
        tally = _counted(_main_table(tables, output), job)
    if tally.is_hopeless:
        _remove(output)
        tally.require_a_redshift(config.catalog)
    return output, job, tally


def predicted_frame(frame: Any, config: PredictConfig, none: Any) -> Any:
    """The rows of a partition with their redshifts; this is what a worker runs.

    Parameters
    ----------
    frame : pandas.DataFrame
        The partition, or its margin.
    config : PredictConfig
        Of the whole job.
    none : pandas.DataFrame
        What comes of a partition, or a margin, without rows.
    """
    if not len(frame):
        return none
    with ExitStack() as stack:
        return _with_redshifts(frame, _job_for(frame, config, stack))


def _with_redshifts(frame: Any, job: PredictionJob) -> Any:
    """A frame's chosen columns, and ours behind them."""
    with in_one_thread():
        rows = np.concatenate([job.begun(b)().rows for b in job.source.blocks(job.block_size)])
    own = _own_columns(job.layout)
    kept = [name for name in _kept(frame, job) if name not in own]
    return frame[kept].assign(**{name: rows[name] for name in own})


def _own_columns(layout: Layout) -> dict[str, TableColumn]:
    """The columns of a table that are no columns of its input, by name."""
    return {column.name: column for column in layout.columns[len(layout.carried) :]}


def _first_rows(catalog: Any, path: str) -> Any:
    """Some rows of the first partition that has any."""
    for number in range(catalog.npartitions):
        partition = catalog.partitions[number : number + 1]
        first = partition.map_partitions(_two_rows).compute(progress_bar=False)
        if len(first):
            return first
    raise CatalogError(f"{path} has no rows", "name a catalogue with galaxies")


def _two_rows(frame: Any) -> Any:
    return frame.head(2)


def _kept(frame: Any, job: PredictionJob) -> list[str]:
    """Columns that come over: all of them, nested ones too, or those that were chosen."""
    if job.config.keep_columns == "all":
        return list(frame.columns)
    carried = {carried.source for carried in job.layout.carried}
    return [name for name in frame.columns if name in carried]


def _job_for(frame: Any, config: PredictConfig, stack: ExitStack) -> PredictionJob:
    catalog = catalog_of_frame(frame, config.catalog, Path(config.catalog))
    spec = ImageSpec(size=NETWORK_SIZE)
    source = stack.enter_context(catalog_source(catalog, config, spec=spec, workers=config.workers))
    return job_on(source, config, _predictor_of_this_process(config))


@lru_cache(maxsize=1)
def _predictor_of_this_process(config: PredictConfig) -> Any:
    return load_predictor(config, None)


def _claimed(config: PredictConfig) -> Path:
    """The output folder, if there is none yet and nothing was asked for that it cannot be."""
    for name, instead in NEVER_WITH_HATS.items():
        if getattr(config, name):
            raise ConfigError(f"--{name} does not go with a HATS catalogue", instead)
    if config.pdf != "none" or config.format != "auto" or config.output == "-":
        raise ConfigError(
            "a HATS catalogue has one format, and holds no PDFs",
            "leave out --pdf and --format, and name a folder with -o",
        )
    folder = Path(config.catalog)
    output = Path(config.output or _named_like(folder))
    if output.name in ("", ".."):  # a collection is named like its folder
        output = output.resolve()
    if output.suffix.lower() in SUFFIXES_OF_TABLES:
        raise ConfigError(
            f"of a HATS catalogue comes a folder, not a {output.suffix} file",
            "name a folder with -o",
        )
    if output.resolve() == folder.resolve():
        raise OutputError(f"{output} is the input", "name another folder with -o")
    if output.exists() and not (config.overwrite or config.resume):
        raise OutputError(f"{output} exists", "replace it with --overwrite, or name another")
    if output.exists():
        if not output.is_dir():
            raise OutputError(f"{output} is a file", "name a folder with -o")
        require_own(output, _own_files(output), "a HATS catalogue of its name")
        if _is_finished(output) and not config.overwrite:
            raise OutputError(
                f"{output} exists, and nothing of it is left to do",
                "replace it with --overwrite, or name another",
            )
    return output


def _is_finished(output: Path) -> bool:
    """Whether the last step was done: a collection, all tables of which describe our columns."""
    schemas = [*output.glob("**/dataset/_common_metadata")]
    of_ours = ESTIMATES["mean"].ucd.encode()  # which a table has by `_describe` alone
    described = all(of_ours in schema.read_bytes() for schema in schemas)
    return (output / "collection.properties").exists() and bool(schemas) and described


def _named_like(catalog: Path) -> Path:
    """Where the redshifts of a catalogue go: ``NAME.photoz`` beside it."""
    folder = catalog if catalog.name not in ("", "..") else catalog.resolve()
    return folder.with_name(f"{folder.name}.photoz")


def _own_files(output: Path) -> re.Pattern[str]:
    """What a collection, whole or not, is made of: its table, and a margin, by its own name."""
    return re.compile(
        rf"collection\.properties|{re.escape(output.name)}(_\d+arcs)?/"
        r"((hats\.)?properties|partition_info\.csv|(skymap(\.\d+)?|point_map)\.fits"
        r"|per_partition_statistics\.parquet|dataset/(_metadata|_common_metadata|Norder=\d+/.+)"
        r"|(done|hists)/\d+_\d+_(done|histogram\.npz))"
    )


def _remove(output: Path) -> None:
    """Take a catalogue away, and its folder if that is empty then."""
    remove_own(output, _own_files(output))
    with suppress(OSError):
        output.rmdir()


def _arranged_workers(config: PredictConfig, stack: ExitStack) -> Any:
    """The client of Dask's workers; without any, None: partitions are taken one by one here."""
    import dask

    if config.dask is not None:
        return dask_client(config.dask, stack)
    stack.enter_context(dask.config.set(scheduler="synchronous"))
    return None


@contextmanager
def _stopping(stop: Stop, client: Any, output: Path, n_partitions: int) -> Iterator[None]:
    """Ask whether to stop: before every task of this process, or while workers are at theirs."""

    def stopped() -> Stopped:
        return Stopped(len([*output.rglob("Npix=*")]), n_partitions, unit="partition")

    def before_task(*_: Any) -> None:
        if stop():
            raise stopped()

    if client is None:
        callbacks: Any = import_extra(
            "dask.callbacks", extra="dask", purpose="reading HATS catalogues"
        )
        with callbacks.Callback(pretask=before_task):
            yield
        return
    with _closed_when(stop, client) as closed:
        try:
            yield
        except BaseException as error:  # what a closed client raises depends on where it was
            if closed.is_set():
                raise stopped() from error
            raise


@contextmanager
def _closed_when(stop: Stop, client: Any) -> Iterator[threading.Event]:
    """Close a client, and so end what waits for its workers, when asked to stop."""
    done, closed = threading.Event(), threading.Event()

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_QUESTIONS):
            if stop():
                closed.set()
                client.close()
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield closed
    finally:
        done.set()
        watcher.join()


def _opened(lsdb: Any, path: str) -> Any:
    """The catalogue with all of its columns, and its margin if it is a collection with one."""
    try:
        return lsdb.open_catalog(path, columns="all")
    except PhotozError:
        raise
    except Exception as error:  # LSDB has no error of its own
        raise CatalogError(
            f"{path} is no HATS catalogue that LSDB can open: {error}", "import it again"
        ) from error


def _properties(job: PredictionJob) -> Mapping[str, str]:
    """What the properties file says of the job."""
    return {
        "photoz_ssl_creator": f"photoz-ssl {__version__}",
        "photoz_ssl_model": job.predictor.name,
        "photoz_ssl_model_sha256": job.predictor.sha256,
    }


def _describe(table: Path, layout: Layout) -> None:
    """Put units, UCDs and descriptions of our columns into the VOTable of the schema file."""
    metadata = import_extra(
        "hats.io.parquet_metadata", extra="dask", purpose="writing HATS catalogues"
    )
    own = _own_columns(layout).values()
    metadata.write_voparquet_in_common_metadata(
        table,
        field_units={column.name: column.unit for column in own if column.unit},
        field_ucds={column.name: column.ucd for column in own if column.ucd},
        field_descriptions={column.name: column.description for column in own},
    )


def _main_table(tables: list[Path], output: Path) -> Path:
    """The catalogue itself, not its margins, of those in a collection."""
    named = [table for table in tables if table in (output, output / output.name)]
    return named[0] if named else tables[0]


def _counted(table: Path, job: PredictionJob) -> Tally:
    """Count rows, redshifts and flags in the finished catalogue, in bounded memory."""
    dataset = import_extra("pyarrow.dataset", extra="dask", purpose="writing HATS catalogues")
    mean, flags = next(iter(_own_columns(job.layout))), FLAGS.name
    tally = Tally()
    for batch in dataset.dataset(table / "dataset").to_batches(columns=[mean, flags]):
        z, bits = (batch.column(name).to_numpy(zero_copy_only=False) for name in (mean, flags))
        tally.add({**counts_of(bits, int(np.isfinite(z).sum())), "dust": job.source.dust})
    return tally
