"""Labels that are too few to learn from, or of redshifts that a model does not know."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import ArrayLike

from photoz_ssl.config import SPLITS, FinetuneConfig
from photoz_ssl.errors import ArchiveError
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.workflows.dry_run import dry_run_finetune
from photoz_ssl.workflows.finetune import finetune, labelled_rows, notices_of_labels

UNSPLIT = -1
TRAIN, VALID, TEST = (SPLITS.index(name) for name in ("train", "valid", "test"))


def changed(archive: Path, to: Path, **columns: ArrayLike) -> Path:
    """A copy of an archive with other values in some of its columns."""
    shutil.copy(archive, to)
    with h5py.File(to, "r+") as file:
        for name, values in columns.items():
            file[name][...] = values
    return to


def refusal(archive: Path) -> ArchiveError:
    config = FinetuneConfig(archive=archive, output=Path("run"))
    with pytest.raises(ArchiveError) as refused:
        labelled_rows(open_archive(archive), config)
    return refused.value


def test_an_archive_without_labels_asks_for_redshifts(tiny_archive: Path, tmp_path: Path) -> None:
    refused = refusal(changed(tiny_archive, tmp_path / "a.h5", specz_redshift=np.nan))
    assert "has no labelled galaxies that can be used" in refused.message
    assert "--redshift-column" in refused.hint
    flagged = refusal(changed(tiny_archive, tmp_path / "b.h5", ebv=np.nan))
    assert "no reddening" in flagged.hint
    assert "--redshift-column" not in flagged.hint


@pytest.mark.parametrize(
    ("split", "told"),
    [
        ([TEST] * 24, "has 24 labelled galaxies: 0 to train on and 0 to validate on"),
        ([TRAIN] + [VALID] * 23, "has 24 labelled galaxies: 1 to train on and 23 to validate on"),
    ],
)
def test_splits_that_leave_no_labels_to_train_on_are_named(
    split: list[int], told: str, tiny_archive: Path, tmp_path: Path
) -> None:
    refused = refusal(changed(tiny_archive, tmp_path / "a.h5", split=split))
    assert told in refused.message
    assert "--split-column" in refused.hint
    assert "--redshift-column" not in refused.hint


def test_one_label_is_one_labelled_galaxy(tiny_archive: Path, tmp_path: Path) -> None:
    redshift = [0.1] + [np.nan] * 23
    path = changed(tiny_archive, tmp_path / "a.h5", split=UNSPLIT, specz_redshift=redshift)
    refused = refusal(path)
    assert "has 1 labelled galaxy: 1 to train on and 0 to validate on" in refused.message
    assert "more spectroscopic redshifts" in refused.hint


def test_labels_beyond_the_grid_are_counted() -> None:
    grid = RedshiftGrid()
    assert notices_of_labels(np.array([0, 0.1, 0.399], np.float32), grid) == ()
    (told,) = notices_of_labels(np.array([0.1, 0.4, 7.0], np.float32), grid)
    assert told == "labels beyond the model's redshifts, 0 to 0.4, count as its last bin: 2 of 3"


@pytest.mark.usefixtures("tiny_preset")
def test_labels_beyond_the_grid_are_told_and_placeholders_left_out(
    tiny_archive: Path, tmp_path: Path
) -> None:
    redshift = np.linspace(0.02, 0.38, 24)
    redshift[[0, 2]] = 7.0, -1.0  # train, valid
    path = changed(tiny_archive, tmp_path / "a.h5", specz_redshift=redshift)
    config = FinetuneConfig(
        archive=path, output=tmp_path / "run", encoder="tiny", epochs=1, batch_size=4
    )
    ahead = dry_run_finetune(config)
    report = finetune(config)
    assert report.notices == ahead.notices
    assert report.notices[0].endswith("1 of 17")
    assert (report.n_labels, report.n_valid) == (12, 5)
