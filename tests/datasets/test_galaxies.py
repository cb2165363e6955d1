"""Batches: complete, seeded, in order."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from photoz_ssl.datasets import galaxies
from photoz_ssl.datasets.augment import deredden
from photoz_ssl.datasets.galaxies import (
    GalaxyBatch,
    Rows,
    batch_rows,
    consecutive_rows,
    gather,
    read_ahead,
)
from photoz_ssl.survey.archive import Archive, open_archive


def test_an_epoch_holds_each_row_once_and_no_two_epochs_are_alike() -> None:
    rows = np.arange(100, 120)
    epochs = [
        np.concatenate([batch_rows(rows, 5, seed=3, step=4 * epoch + place) for place in range(4)])
        for epoch in range(2)
    ]
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), rows)
    assert not np.array_equal(epochs[0], epochs[1])


def test_the_incomplete_batch_is_left_out() -> None:
    rows = np.arange(11)
    steps = [batch_rows(rows, 4, seed=0, step=step) for step in range(2)]
    assert len(np.unique(np.concatenate(steps))) == 8


def test_gathered_rows_keep_their_order(tiny_archive: Path) -> None:
    archive, rows = open_archive(tiny_archive), np.array([7, 2, 19, 2])
    batch = gather(archive, rows)
    np.testing.assert_array_equal(batch.images.numpy(), archive.images[rows])
    np.testing.assert_array_equal(batch.ebv.numpy(), archive.ebv[rows])
    np.testing.assert_array_equal(batch.redshift.numpy(), archive.redshift[rows])


def test_rows_that_are_not_on_a_disk_are_gathered_alike(tiny_archive: Path) -> None:
    archive, rows = open_archive(tiny_archive), np.array([7, 2, 19, 2])
    for images in (np.array(archive.images), archive.images[:]):
        elsewhere = replace(archive, images=images)
        assert torch.equal(gather(elsewhere, rows).images, gather(archive, rows).images)
    assert len(gather(archive, rows[:0])) == 0


def test_a_dereddened_archive_is_not_dereddened_again(tiny_archive: Path) -> None:
    archive = open_archive(tiny_archive)
    intrinsic = replace(archive, spec=replace(archive.spec, dereddened=True))
    batch = gather(intrinsic, archive.rows())
    assert torch.equal(deredden(batch.images, batch.ebv), batch.images)


def test_what_reads_is_at_the_gpu_that_computes(
    tiny_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, gpu = threading.local(), torch.device("cuda", 1)
    archive, seen = open_archive(tiny_archive), []

    def gather_on_gpu(archive: Archive, stream: object, rows: Rows) -> GalaxyBatch:
        seen.append(getattr(thread, "device", torch.device("cuda", 0)))
        return gather(archive, rows)

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: SimpleNamespace(device=device))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: setattr(thread, "device", device))
    monkeypatch.setattr(galaxies, "_gather_on_gpu", gather_on_gpu)
    assert len(list(read_ahead(archive, consecutive_rows(archive.rows(), 12), gpu))) == 2
    assert seen == [gpu, gpu]


def test_reading_ahead_changes_nothing(tiny_archive: Path) -> None:
    archive = open_archive(tiny_archive)
    batches = list(read_ahead(archive, consecutive_rows(archive.rows(), 7)))
    assert [len(batch) for batch in batches] == [7, 7, 7, 3]
    found = np.concatenate([batch.redshift.numpy() for batch in batches])
    np.testing.assert_array_equal(found, archive.redshift)
    assert list(read_ahead(archive, [])) == []
