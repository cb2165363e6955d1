"""Outputs appear whole or not at all."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from photoz_ssl.errors import MissingExtraError, OutputError
from photoz_ssl.files import (
    atomic_output,
    cache_folder,
    claim_output,
    is_leftover,
    output_errors,
    require_other,
    temporary_errors,
)


def test_a_finished_output_appears_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "out.fits"
    with atomic_output(path) as temporary:
        temporary.write_bytes(b"whole")
        assert not path.exists()
        assert temporary.suffix == ".fits"
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_all_of_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, flushed = tmp_path / "out.fits", []

    def remembered(descriptor: int) -> None:
        file = os.fstat(descriptor)
        flushed.append((file.st_ino, file.st_size, path.exists()))

    monkeypatch.setattr(os, "fsync", remembered)
    with atomic_output(path) as temporary:
        temporary.write_bytes(b"whole")
    assert flushed == [(path.stat().st_ino, 5, False)]


def test_everybody_may_read_what_a_narrow_writer_wrote(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain", tmp_path / "out"
    plain.touch()
    with atomic_output(path) as temporary:
        temporary.touch(mode=0o600)
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.fits"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_output(path, overwrite=True) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        interrupted()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.fits"
    path.touch()
    with pytest.raises(OutputError, match="--overwrite"), atomic_output(path):
        pytest.fail("must not get here")


def test_what_another_run_has_written_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "out.fits"

    def slower() -> None:
        with atomic_output(path) as temporary:
            temporary.write_bytes(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(OutputError, match="meanwhile"):
        slower()
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_the_file_it_leads_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    link, target = tmp_path / "out.fits", tmp_path / "scratch" / "real.fits"
    link.symlink_to(target)
    for content in (b"first", b"second"):
        with atomic_output(link, overwrite=True) as temporary:
            temporary.write_bytes(content)
        assert link.is_symlink()
        assert target.read_bytes() == content
    assert {*tmp_path.rglob("*")} == {link, target, target.parent}


def test_a_link_keeps_its_suffix_and_leads_into_a_folder(tmp_path: Path) -> None:
    (tmp_path / "figure.pdf").symlink_to(tmp_path / "blob")
    with atomic_output(tmp_path / "figure.pdf") as temporary:
        assert temporary.suffix == ".pdf"
        temporary.write_bytes(b"whole")
    assert (tmp_path / "blob").read_bytes() == b"whole"
    (tmp_path / "lost.fits").symlink_to(tmp_path / "nowhere" / "real.fits")
    led = "nowhere, into which the link .*lost.fits leads, does not exist"
    with pytest.raises(OutputError, match=led):
        claim_output(tmp_path / "lost.fits", overwrite=True)


def test_a_folder_that_takes_no_file_is_told(tmp_path: Path) -> None:
    here = Path("/proc/self")
    if not here.is_dir():
        pytest.skip("needs a folder in which nobody can make a file")
    refused = pytest.raises(OutputError, match="no file can be made in /proc/self")
    with refused, atomic_output(here / "out.fits"):
        pytest.fail("must not get here")
    elsewhere = pytest.raises(FileNotFoundError)
    with elsewhere, output_errors(tmp_path / "out.fits"):
        (tmp_path / "folder" / "input").read_bytes()


def test_a_disk_without_hard_links_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    with atomic_output(tmp_path / "out.fits") as temporary:
        temporary.write_bytes(b"whole")
    assert (tmp_path / "out.fits").read_bytes() == b"whole"


def test_a_folder_and_a_missing_parent_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"), atomic_output(tmp_path, overwrite=True):
        pytest.fail("must not get here")
    missing = tmp_path / "nowhere" / "out.fits"
    with pytest.raises(OutputError, match="does not exist"), atomic_output(missing):
        pytest.fail("must not get here")


def test_neither_a_pipe_nor_a_device_is_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path(os.devnull), Path("/dev/stdout")):
        with pytest.raises(OutputError, match="is a device or a pipe"):
            claim_output(path, overwrite=True)


def test_a_long_name_has_a_temporary_file_and_a_longer_one_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / f"{'ä' * 120}.fits"
    with atomic_output(path) as temporary:
        temporary.touch()
        assert is_leftover(temporary)
        assert temporary.suffix == ".fits"
    assert path.exists()
    with pytest.raises(OutputError, match="too long for the disk"):
        claim_output(tmp_path / f"{'a' * 300}.fits", overwrite=False)


def test_an_input_is_not_replaced_by_the_output(tmp_path: Path) -> None:
    path, link = tmp_path / "cat.fits", tmp_path / "link.fits"
    path.touch()
    link.symlink_to(path)
    for name in (str(path), f"{path}[1][R < 17.8]", str(link), f"{tmp_path}/./cat.fits"):
        with pytest.raises(OutputError, match="is the input"):
            require_other(path, "other.fits", name)
    require_other(path, "-", "", "other.fits", str(tmp_path), "https://example.org/cat.fits")
    require_other("-", str(path))


def test_the_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch/cache")
    assert cache_folder() == Path("/scratch/cache/photoz-ssl")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/photoz-ssl"


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder().name == f"photoz-ssl-{os.getuid()}"


def test_a_missing_extra_comes_over_from_another_process() -> None:
    error = MissingExtraError("galsim", "sim", "simulating")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (MissingExtraError, str(error))


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EROFS, "no permission"),
        (errno.EACCES, "no permission"),
        (errno.EPERM, "no permission"),
    ],
)
def test_a_disk_that_refuses_is_told_in_a_sentence(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(OutputError, match=words), atomic_output(tmp_path / "out.fits"):
        raise OSError(number, "refused")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_disk_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *arguments: object, **options: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OutputError, match="no permission"), atomic_output(tmp_path / "a.fits"):
        pass


def test_a_temporary_folder_without_room_is_named() -> None:
    words = r"no space left in .* to unpack images.*TMPDIR"
    with pytest.raises(OutputError, match=words), temporary_errors("to unpack images"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(OSError, match="gone"), temporary_errors("to unpack images"):
        raise OSError(errno.ENOENT, "gone")
