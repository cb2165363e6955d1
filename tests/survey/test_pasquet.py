"""The published ``sdss.npz``: what is in it arrives, in bounded memory, whatever it claims."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.config import PrepareConfig
from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.npz import open_npz
from photoz_ssl.survey.pasquet import open_pasquet
from photoz_ssl.workflows.prepare import PrepareReport, prepare

N = 40
LABELS = np.dtype(
    [
        ("specObjID", "<u8"),
        ("objID", "<i8"),
        ("class", "<U6"),
        ("z", "<f4"),
        ("zErr", "<f4"),
        ("ra", "<f8"),
        ("dec", "<f8"),
        ("dered_petro_r", "<f4"),
        ("g", "<f4"),
        ("EBV", "<f4"),
        ("primtarget", "<i4"),
    ]
)


def labels_of(n: int = N) -> NDArray[Any]:
    generator = np.random.default_rng(0)
    labels = np.zeros(n, LABELS)
    labels["specObjID"] = 299489676975171584 + np.arange(n, dtype=np.uint64)
    labels["objID"] = 1237648720693755918 + np.arange(n)
    labels["class"], labels["zErr"] = "GALAXY", 1e-5
    labels["z"] = generator.uniform(0.01, 0.5, n)
    labels["ra"], labels["dec"] = generator.uniform(0, 360, n), generator.uniform(-10, 70, n)
    labels["dered_petro_r"] = generator.uniform(16.5, 18.1, n)
    labels["EBV"] = generator.uniform(0.01, 0.1, n)
    labels["primtarget"] = generator.choice([0, 32, 64, 128], n)
    return labels


def cube_of(n: int = N) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(n, 64, 64, 5)).astype(np.float32)


@pytest.fixture(params=[np.savez, np.savez_compressed])
def sdss(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    save: Callable[..., None] = request.param
    save(tmp_path / "sdss.npz", cube=cube_of(), labels=labels_of().view(np.recarray))
    return tmp_path / "sdss.npz"


def prepared(path: Path, **options: Any) -> PrepareReport:
    output = path.with_name("sdss.h5")
    return prepare(PrepareConfig(catalog=str(path), output=output, **options))


def test_every_galaxy_arrives_with_its_labels(sdss: Path) -> None:
    report = prepared(sdss)
    archive, labels = open_archive(report.output), labels_of()
    assert archive.spec.size == 64
    np.testing.assert_array_equal(archive.images, cube_of().transpose(0, 3, 1, 2))
    for found, name in (
        (archive.object_id, "objID"),
        (archive.ra, "ra"),
        (archive.dec, "dec"),
        (archive.ebv, "EBV"),
        (archive.redshift, "z"),
        (archive.redshift_error, "zErr"),
        (archive.columns["dered_petro_r"], "dered_petro_r"),
    ):
        np.testing.assert_array_equal(found, labels[name])
    np.testing.assert_array_equal(archive.columns["SPECOBJID"], labels["specObjID"])
    assert "specObjID" not in archive.columns
    assert report.notices == ()
    assert report.dust == "E(B-V) from column EBV"


def test_the_main_galaxy_sample_is_cut_out(sdss: Path) -> None:
    labels = labels_of()
    inside = (labels["dered_petro_r"] <= 17.8) & (labels["z"] <= 0.4) & (labels["primtarget"] >= 64)
    assert 0 < inside.sum() < N
    archive = open_archive(prepared(sdss, mgs_cut=True).output)
    np.testing.assert_array_equal(archive.object_id, labels["objID"][inside])
    np.testing.assert_array_equal(archive.images, cube_of()[inside].transpose(0, 3, 1, 2))


def test_the_main_galaxy_sample_has_its_limits(tmp_path: Path) -> None:
    labels = labels_of(4)
    labels["primtarget"] = 64
    labels["dered_petro_r"], labels["z"] = [17.8, 17.0, 17.801, 17.0], [0.1, 0.4, 0.1, 0.401]
    np.savez(tmp_path / "sdss.npz", cube=cube_of(4), labels=labels)
    archive = open_archive(prepared(tmp_path / "sdss.npz", mgs_cut=True).output)
    np.testing.assert_array_equal(archive.object_id, labels["objID"][:2])


def test_rows_are_taken_from_anywhere(sdss: Path) -> None:
    with open_npz(str(sdss), "cube", "labels") as (cube, labels):
        for rows in ([0], [3, 17, 39], [5, 6], [39]):
            np.testing.assert_array_equal(cube.take(np.array(rows)), cube_of()[rows])
            np.testing.assert_array_equal(labels.take(np.array(rows)), labels_of()[rows])
        assert cube.take(np.array([], np.int64)).shape == (0, 64, 64, 5)


def test_other_spellings_of_the_labels_are_known(tmp_path: Path) -> None:
    labels = labels_of()
    names = {"objID": "bestObjID", "z": "Z", "EBV": "e_bv_sfd", "ra": "RA", "specObjID": "image"}
    kinds = [(names.get(name, name), LABELS[name]) for name in LABELS.names or ()]
    labels = labels.view(np.dtype(kinds))
    np.savez(tmp_path / "sdss.npz", cube=cube_of(), labels=labels)
    archive = open_archive(prepared(tmp_path / "sdss.npz", mgs_cut=True).output)
    assert set(archive.object_id) <= set(labels_of()["objID"])
    assert np.isfinite(archive.ebv).all()
    assert (archive.redshift <= np.float32(0.4)).all()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    n = 3000
    path = tmp_path / "sdss.npz"
    np.savez_compressed(path, cube=np.zeros((n, 64, 64, 5), np.float32), labels=labels_of(n))
    tracemalloc.start()
    with open_pasquet(str(path)) as catalog:
        for start in range(0, n, 256):
            catalog.read(start, start + 256)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 90e6 < n * 64 * 64 * 5 * 4 / 2


def test_a_packed_header_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "sdss.npz"
    claim = b"\x93NUMPY\x02\x00" + (100_000_000).to_bytes(4, "little")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("cube.npy", claim + b" " * 100_000_000)
    tracemalloc.start()
    with pytest.raises(CatalogError, match="damaged"), open_npz(str(path), "cube"):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_what_numpy_writes_is_unpacked(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "sdss.npz"
    with zipfile.ZipFile(path, "w", compression) as members:
        members.writestr("cube.npy", npy(cube_of(2)))
    with pytest.raises(CatalogError, match="compressed as NumPy never does"):
        prepared(path)


def test_a_damaged_pixel_is_told_by_the_checksum(tmp_path: Path) -> None:
    path = tmp_path / "sdss.npz"
    np.savez(path, cube=cube_of(), labels=labels_of())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=r"'cube' in .* cannot be read: the file is damaged"):
        prepared(path)
    assert not path.with_name("sdss.h5").exists()


def member(header: str, content: bytes = b"") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def npy(values: NDArray[Any], *, pickled: bool = False) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, allow_pickle=pickled)
    return stream.getvalue()


def header_of(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("owned",)


LIE = header_of("(99999999999, 64, 64, 5)")


@pytest.mark.parametrize(
    ("cube", "labels", "words"),
    [
        (None, npy(labels_of(2)), "no array 'cube'"),
        (npy(cube_of(2)), None, "no array 'labels'"),
        (npy(cube_of(2)), npy(labels_of(3)), "not a record array of 2 galaxies"),
        (npy(cube_of(2)), npy(np.zeros((2, 4))), "not a record array"),
        (npy(cube_of(2)[:, :32]), npy(labels_of(2)), r"shape \(2, 32, 64, 5\)"),
        (npy(cube_of(2).transpose(0, 3, 1, 2).copy()), npy(labels_of(2)), "not float32 of"),
        (npy(cube_of(2).astype("f8")), npy(labels_of(2)), "is float64"),
        (npy(np.asfortranarray(cube_of(2))), npy(labels_of(2)), "not one after the other"),
        (npy(cube_of(2)[:0]), npy(labels_of(2)[:0]), "has no rows"),
        (npy(np.array([Malicious()], object), pickled=True), npy(labels_of(2)), "pickled objects"),
        (npy(cube_of(2)), npy(np.array([Malicious()], object), pickled=True), "pickled objects"),
        (member(LIE), npy(labels_of(2)), "bytes its header promises"),
        (npy(cube_of(2))[:-9], npy(labels_of(2)), "bytes its header promises"),
        (member(header_of("(1, 9999999999)")), npy(labels_of(2)), "rows of 39999999996 bytes"),
        (member(header_of("(-1, 64, 64, 5)")), npy(labels_of(2)), "has no rows"),
        (member(header_of("(2,)", "'|V0'")), npy(labels_of(2)), "rows of 0 bytes"),
        (member(header_of("(2, 64, 64, 5)", "'what'")), npy(labels_of(2)), "damaged"),
        (member("[" * 5000), npy(labels_of(2)), "damaged"),
        (b"not numpy", npy(labels_of(2)), "damaged"),
        (b"", npy(labels_of(2)), "damaged"),
    ],
)
def test_a_hostile_file_is_refused_in_a_sentence(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    cube: bytes | None,
    labels: bytes | None,
    words: str,
) -> None:
    path = tmp_path / "sdss.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
        for name, content in (("cube", cube), ("labels", labels)):
            if content is not None:
                members.writestr(f"{name}.npy", content)
    with pytest.raises(CatalogError, match=words) as caught:
        prepared(path)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert "owned" not in capsys.readouterr().out
    assert not path.with_name("sdss.h5").exists()


def test_a_truncated_or_alien_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sdss.npz"
    np.savez(path, cube=cube_of(4), labels=labels_of(4))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-30], b"", b"text", npy(cube_of(1))):
        path.write_bytes(content)
        with pytest.raises(CatalogError, match="truncated or not an"):
            prepared(path)
    with pytest.raises(CatalogError, match="there is no file"):
        prepared(tmp_path / "missing.npz")


def test_the_cut_needs_its_labels_and_its_file(tmp_path: Path) -> None:
    labels = labels_of()
    np.savez(tmp_path / "a.npz", cube=cube_of(), labels=labels[["objID", "z", "EBV"]])
    with pytest.raises(CatalogError, match="lacks dered_petro_r for --mgs-cut"):
        prepared(tmp_path / "a.npz", mgs_cut=True)
    labels["z"] = np.nan
    np.savez(tmp_path / "b.npz", cube=cube_of(), labels=labels)
    with pytest.raises(CatalogError, match=r"no galaxy .* passes"):
        prepared(tmp_path / "b.npz", mgs_cut=True)
    for name in ("cat.fits", "cat.h5"):
        with pytest.raises(CatalogError, match=r"not the published \.npz"):
            prepared(tmp_path / name, mgs_cut=True)
