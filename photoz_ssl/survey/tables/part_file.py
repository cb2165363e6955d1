"""Part files: finished blocks of a table, kept until the whole of it can be written.

A part file is a log. Its first line names the format, the second holds a manifest as JSON; then
come blocks, each a line of JSON and the bytes of its rows, and at the end a line that says that
nothing is missing. A kill at any moment leaves whole blocks and at most one that is cut, which
is recognised by its length or checksums and dropped.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import PartError
from photoz_ssl.files import output_errors
from photoz_ssl.locks import hold
from photoz_ssl.survey.tables.json_lines import fields_of, line_of
from photoz_ssl.survey.tables.manifest import Manifest, PdfRows

__all__ = [
    "SHARE",
    "Block",
    "Part",
    "PartWriter",
    "begun_part",
    "create_part",
    "locked_part",
    "read_part",
    "require_same_job",
]

SHARE = re.compile(r"(.+)\.(\d+)-of-(\d+)\.part")
"""The name of a part that is a share of the rows: its output, its number, and of how many."""

MAGIC = b"photoz-ssl part 2\n"
LONGEST_LINE = 1 << 24
MOST_BYTES_A_BLOCK = 1 << 30


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a part.

    Parameters
    ----------
    start : int
        Row of the whole table that the first one is.
    rows : structured ndarray, shape (n,)
        The rows.
    pdfs : structured ndarray, shape (n,), optional
        Their `pdf_rows`.
    facts : mapping
        What else was noted of them, JSON-ready.
    """

    start: int
    rows: NDArray[np.void]
    pdfs: PdfRows | None
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """A part file that was read; see `read_part`.

    Parameters
    ----------
    path : Path
        The file.
    manifest : Manifest
        What it is a part of.
    n_done : int
        Rows that it holds.
    complete : bool
        Whether these are all of its rows.
    size : int
        Bytes up to the end of the last whole block.
    """

    path: Path
    manifest: Manifest
    n_done: int
    complete: bool
    size: int = field(repr=False)

    @property
    def n_rows(self) -> int:
        """Rows that it is to hold."""
        return self.manifest.stop - self.manifest.start

    def blocks(self) -> Iterator[Block]:
        """Its blocks, in order, in bounded memory.

        Raises
        ------
        PartError
            If the file has been damaged since it was read.
        """
        with self.path.open("rb") as file:
            _read_manifest(file, self.path)
            start, stop = self.manifest.start, self.manifest.start + self.n_done
            while start < stop:
                block = _next_block(file, self.manifest, start)
                if block is None:
                    raise PartError(f"{self.path} is damaged", "make it again")
                yield block
                start += len(block.rows)


def read_part(path: Path) -> Part:
    """Read a part file through, and see how many whole blocks it holds.

    Raises
    ------
    PartError
        If it is missing or no part file.
    """
    with _opened(path) as file:
        manifest = _read_manifest(file, path)
        start, size = manifest.start, file.tell()
        while block := _next_block(file, manifest, start):
            start, size = start + len(block.rows), file.tell()
        file.seek(size)
        ended = file.readline(LONGEST_LINE) == _end_line(manifest)
    return Part(path, manifest, start - manifest.start, ended and start == manifest.stop, size)


def begun_part(path: Path) -> Part | None:
    """The part that a process has begun; None where there is none, or not yet its description.

    Raises
    ------
    PartError
        If what is there is no part file.
    """
    if not path.exists():
        return None
    with _opened(path) as file:
        first = file.read(len(MAGIC))
        described = first == MAGIC and file.readline(LONGEST_LINE).endswith(b"\n")
    return read_part(path) if described or not MAGIC.startswith(first) else None


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A part file to read; a `PartError` where the disk does not give it."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise PartError(f"{path} cannot be read: {error.strerror}", "check the path") from error


def _read_manifest(file: IO[bytes], path: Path) -> Manifest:
    if file.readline(len(MAGIC)) != MAGIC:
        raise PartError(f"{path} is not a part of a table", "name files made by predict --shard")
    try:
        return Manifest.from_fields(fields_of(file.readline(LONGEST_LINE)))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise PartError(f"the description inside {path} is damaged", "make it again") from error


def _end_line(manifest: Manifest) -> bytes:
    return line_of({"end": manifest.stop})


def _next_block(file: IO[bytes], manifest: Manifest, start: int) -> Block | None:
    """The block that starts at a row; None where there is no whole one."""
    try:
        fields = fields_of(file.readline(LONGEST_LINE))
        n_rows, checksum, facts = int(fields["n"]), fields["crc32"], fields["facts"]
    except (KeyError, OverflowError, TypeError, ValueError):
        return None
    kinds = [manifest.dtype] + ([manifest.pdf_dtype] if manifest.pdf_dtype else [])
    length = n_rows * sum(kind.itemsize for kind in kinds)
    if fields.get("start") != start or not 0 < n_rows <= manifest.stop - start:
        return None
    if length > MOST_BYTES_A_BLOCK or not isinstance(facts, dict):
        return None
    content = file.read(length)
    if len(content) < length or zlib.crc32(content) != checksum:
        return None
    rows = np.frombuffer(content, manifest.dtype, n_rows)
    pdfs = None
    if manifest.pdf_dtype is not None:
        pdfs = np.frombuffer(content, manifest.pdf_dtype, n_rows, rows.nbytes)
    return Block(start, rows, pdfs, facts)


class PartWriter:
    """Appends blocks to a part; see `create_part`."""

    def __init__(self, file: IO[bytes], path: Path, manifest: Manifest, n_done: int) -> None:
        self._file, self.path, self.manifest = file, path, manifest
        self.n_done = n_done

    def append(
        self, rows: NDArray[np.void], pdfs: PdfRows | None, facts: Mapping[str, Any]
    ) -> None:
        """Write the next rows, their PDFs where they are kept, and what is noted of them.

        Raises
        ------
        OutputError
            If the disk is full.
        """
        rows = np.ascontiguousarray(rows, self.manifest.dtype)
        content = rows.tobytes() + (b"" if pdfs is None else pdfs.tobytes())
        start = self.manifest.start + self.n_done
        fields = {"start": start, "n": len(rows), "crc32": zlib.crc32(content), "facts": facts}
        self.write(line_of(fields) + content)
        self.n_done += len(rows)

    def finish(self) -> Part:
        """Say that nothing is missing, and give the part."""
        size = self._file.tell()
        self.write(_end_line(self.manifest))
        with output_errors(self.path):
            os.fsync(self._file.fileno())
        return Part(self.path, self.manifest, self.n_done, True, size)

    def write(self, content: bytes) -> None:
        """Write bytes, all of them."""
        with output_errors(self.path):
            left = memoryview(content)
            while left.nbytes:
                left = left[self._file.write(left) :]


@contextmanager
def create_part(
    path: Path,
    manifest: Manifest,
    *,
    resume: bool = False,
    found: Callable[[Mapping[str, Any]], None] = lambda facts: None,
) -> Iterator[PartWriter]:
    """Write a part file, from its first row or from where an interrupted one ends.

    What has been written stays when the block is left by an error, unless it is not one row.
    No other process can write the file, or take it away, until then.

    Parameters
    ----------
    path : Path
        The file; one that is there is gone on with, or replaced.
    manifest : Manifest
        What it is a part of.
    resume : bool
        Whether to go on with what is there.
    found : callable
        Given the facts of each block that is there, in order.

    Raises
    ------
    PartError
        If what is there is of another job, or is being written by another process: it is
        not touched then.
    OutputError
        If it cannot be written.
    """
    with locked_part(path) as file:
        before = begun_part(path) if resume else None
        if before is not None:
            require_same_job(before, manifest)
            for block in before.blocks():
                found(block.facts)
        with output_errors(path):
            file.truncate(before.size if before else 0)
        writer = PartWriter(
            file, path, before.manifest if before else manifest, before.n_done if before else 0
        )
        try:
            if before is None:
                writer.write(MAGIC + line_of(manifest.to_fields()))
            yield writer
        except BaseException:
            if writer.n_done == 0:
                path.unlink(missing_ok=True)
            raise


@contextmanager
def locked_part(path: Path) -> Iterator[IO[bytes]]:
    """A part file, made if it is not there, that no other process writes meanwhile.

    Raises
    ------
    PartError
        If another process is writing it.
    OutputError
        If it cannot be written.
    """
    with output_errors(path):
        file = path.open("a+b", buffering=0)
    with file:
        if not hold(file, path):
            raise PartError(
                f"another process is writing {path}", "wait for it, or choose another --output"
            )
        yield file


def require_same_job(part: Part, manifest: Manifest) -> None:
    """Refuse a part that a job cannot go on with.

    Raises
    ------
    PartError
        That names what differs.
    """
    there = part.manifest
    difference = manifest.difference(there)
    if difference is None and (there.start, there.stop) != (manifest.start, manifest.stop):
        difference = "range of rows"
    if difference is not None:
        raise PartError(
            f"{part.path} was begun with another {difference}",
            f"repeat the command that it is from{_command_of(part)}, or remove it",
        )


def _command_of(part: Part) -> str:
    """The command that goes on with a part, if that is known: the table's, and what it leaves out.

    All parts of a table have one command in their headers.
    """
    command, share = part.manifest.card("COMMAND"), SHARE.fullmatch(part.path.name)
    if not command:
        return ""
    return f", {command} {f'--shard {share[2]}/{share[3]}' if share else '--resume'}"
