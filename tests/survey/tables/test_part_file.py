"""Part files: whole blocks survive whatever happens to the file behind them."""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import PartError
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.json_lines import fields_of, line_of
from photoz_ssl.survey.tables.manifest import Manifest, PdfRows, pdf_rows
from photoz_ssl.survey.tables.part_file import Part, begun_part, create_part, locked_part, read_part
from photoz_ssl.survey.tables.pdf_form import PdfForm

MAGIC = b"photoz-ssl part 2\n"
DTYPE = np.dtype([("NAME", "S3"), ("Z", "<f4")])
MANIFEST = Manifest(
    job={"catalogue": "cat.fits", "model": "ab"},
    n_rows=20,
    start=5,
    stop=15,
    extname="PHOTOZ",
    columns=(TableColumn("NAME"), TableColumn("Z", "", "src.redshift.phot")),
    dtype=DTYPE,
    cards=(
        ("MODEL", "ours", "a model"),
        ("COMMAND", "photoz-ssl predict a", ""),
        ("ZGRIDN", 3, ""),
    ),
    pdf_form=PdfForm("hist", (0.0, 0.1, 0.2, 0.4)),
)


def rows(start: int, n: int) -> tuple[NDArray[np.void], PdfRows, dict[str, int]]:
    """Rows, PDFs and facts of a block."""
    table = np.zeros(n, DTYPE)
    table["Z"] = start + np.arange(n)
    pdf = np.tile([0.2, 0.3, 0.5], (n, 1))
    return table, pdf_rows(pdf, table["Z"], np.arange(n)), {"rows": n, "start": start}


def write(path: Path, n_blocks: int = 5, *, finish: bool = True) -> None:
    """A part of blocks of two rows."""
    with create_part(path, MANIFEST) as writer:
        for number in range(n_blocks):
            writer.append(*rows(5 + 2 * number, 2))
        if finish:
            writer.finish()


def signed(text: bytes) -> bytes:
    """A line with the checksum that `line_of` would give it."""
    return b"%b %08x\n" % (text, zlib.crc32(text))


def forged(old: bytes, new: bytes) -> bytes:
    """The line of the manifest with something else in it, and with its checksum."""
    text = json.dumps(MANIFEST.to_fields()).encode()
    assert old in text
    return signed(text.replace(old, new))


def starts(part: Part) -> list[int]:
    return [int(block.rows["Z"][0]) for block in part.blocks()]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write(tmp_path / "a.part")
    part = read_part(tmp_path / "a.part")
    assert part.complete
    assert part.n_done == 10
    assert part.manifest == MANIFEST
    assert starts(part) == [5, 7, 9, 11, 13]
    block = next(part.blocks())
    assert block.pdfs is not None
    np.testing.assert_array_equal(block.pdfs["pdf"], np.array([[0.2, 0.3, 0.5]] * 2, np.float32))
    assert block.facts == {"rows": 2, "start": 5}


def test_at_every_length_the_whole_blocks_are_found_and_gone_on_from(tmp_path: Path) -> None:
    write(tmp_path / "whole.part")
    content = (tmp_path / "whole.part").read_bytes()
    first = content.index(b'{"crc32"')
    starts_found: list[int] = []
    lengths = np.random.default_rng(1).integers(first, len(content), 40)
    for length in [first, *lengths.tolist()]:
        path = tmp_path / "cut.part"
        path.write_bytes(content[:length])
        done = read_part(path).n_done
        assert done % 2 == 0
        assert not read_part(path).complete
        starts_found.clear()
        with create_part(
            path,
            MANIFEST,
            resume=True,
            found=lambda facts: starts_found.append(facts["start"]),
        ) as writer:
            assert writer.n_done == done
            assert starts_found == list(range(5, 5 + done, 2))
            for start in range(5 + done, 15, 2):
                writer.append(*rows(start, 2))
            writer.finish()
        assert path.read_bytes() == content


def test_a_flipped_bit_ends_the_part_before_its_block(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    write(path)
    content = bytearray(path.read_bytes())
    second = content.index(b'{"crc32"', content.index(b'{"crc32"') + 1)
    content[content.index(b"\n", second) + 3] ^= 4
    path.write_bytes(content)
    assert starts(read_part(path)) == [5]


def test_a_flipped_bit_in_what_is_said_of_a_block_ends_the_part_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    write(path)
    facts = b'{"rows": 2, "start": 9}'
    path.write_bytes(path.read_bytes().replace(facts, facts.replace(b"9", b"8")))
    assert starts(read_part(path)) == [5, 7]


def test_a_block_that_stands_there_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    write(path, 1, finish=False)
    content = path.read_bytes()
    path.write_bytes(content + content[content.index(b'{"crc32"') :])
    assert starts(read_part(path)) == [5]


def test_a_part_is_complete_when_it_says_so_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    write(path, finish=False)
    assert read_part(path).n_done == 10
    assert not read_part(path).complete


def test_without_resume_it_begins_anew(tmp_path: Path) -> None:
    write(tmp_path / "a.part", 3, finish=False)
    write(tmp_path / "a.part", 1, finish=False)
    assert starts(read_part(tmp_path / "a.part")) == [5]


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"job": {"catalogue": "cat.fits", "model": "cd"}}, "model"),
        ({"n_rows": 21}, "length"),
        ({"start": 6}, "range of rows"),
        ({"pdf_form": None}, "table layout"),
    ],
)
def test_another_job_does_not_go_on_with_it(
    other: dict[str, object], named: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.part", 2, finish=False)
    manifest = dataclasses.replace(MANIFEST, **other)  # type: ignore[arg-type]
    with (
        pytest.raises(PartError, match=f"begun with another {named}") as caught,
        create_part(tmp_path / "a.part", manifest, resume=True),
    ):
        pass
    command = MANIFEST.card("COMMAND")
    again = f"{command} --resume"
    assert caught.value.hint == f"repeat the command that it is from, {again}, or remove it"


def test_the_command_of_a_share_is_told_with_its_number(tmp_path: Path) -> None:
    share = tmp_path / "a.fits.2-of-8.part"
    write(share, 2, finish=False)
    with (
        pytest.raises(PartError) as caught,
        create_part(share, dataclasses.replace(MANIFEST, n_rows=21), resume=True),
    ):
        pass
    assert f"{MANIFEST.card('COMMAND')} --shard 2/8, or" in caught.value.hint


def test_two_processes_do_not_write_one_part(tmp_path: Path) -> None:
    with (
        create_part(tmp_path / "a.part", MANIFEST) as writer,
        pytest.raises(PartError, match="another process is writing"),
    ):
        writer.append(*rows(5, 2))
        with create_part(tmp_path / "a.part", MANIFEST, resume=True):
            pass
    assert read_part(tmp_path / "a.part").n_done == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"SIMPLE  =                    T",
        MAGIC,
        MAGIC + b"[[[[",
        MAGIC + signed(b"[[[["),
        MAGIC + signed(b"[" * 100_000),
        MAGIC + line_of({"dtype": [["A", "|O8", []]]}),
        MAGIC + forged(b'"<f4"', b'"|O8"'),
        MAGIC + forged(b'"stop": 15', b'"stop": 99'),
        MAGIC + forged(b'"stop": 15', b'"stop": Infinity'),
        MAGIC + forged(b'["MODEL"', b'["no keyword"'),
        MAGIC + forged(b'"ours"', b"null"),
        MAGIC + forged(b'"ours"', b"NaN"),
        MAGIC + forged(b'"ours"', b"1180591620717411303424"),
        MAGIC + forged(b'"src.redshift.phot"', b"NaN"),
        MAGIC + forged(b'"name": "Z"', b'"name": "Y"'),
        MAGIC + line_of(MANIFEST.to_fields()).replace(b"ours", b"hers"),
    ],
)
def test_a_strange_file_is_refused_in_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.part").write_bytes(content)
    with pytest.raises(PartError, match=r"not a part of a table|description inside"):
        read_part(tmp_path / "a.part")


@pytest.mark.parametrize("n", ["0", "-1", "1000000", "1" + 18 * "0", "Infinity", "NaN"])
def test_a_block_that_lies_about_its_length_is_none(n: str, tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    write(path, 2, finish=False)
    described = MAGIC + line_of(MANIFEST.to_fields())
    first, *rest = path.read_bytes().removeprefix(described).splitlines(keepends=True)
    fields = fields_of(first) | {"n": json.loads(n)}
    path.write_bytes(described + line_of(fields) + b"".join(rest))
    assert read_part(path).n_done == 0


@pytest.mark.parametrize("n_bytes", [0, 5, 18, 300])
def test_a_part_cut_before_its_first_block_is_begun_anew(n_bytes: int, tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    write(path)
    whole = path.read_bytes()
    assert b"\n" not in whole[18:300]
    path.write_bytes(whole[:n_bytes])
    assert begun_part(path) is None
    with create_part(path, MANIFEST, resume=True) as writer:
        for start in range(5, 15, 2):
            writer.append(*rows(start, 2))
        writer.finish()
    assert path.read_bytes() == whole


def test_what_is_no_part_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    path.write_bytes(b"SIMPLE  =                    T")
    with pytest.raises(PartError, match="not a part"), create_part(path, MANIFEST, resume=True):
        pass
    assert path.read_bytes() == b"SIMPLE  =                    T"


def test_a_part_without_a_row_is_taken_away_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    with pytest.raises(KeyboardInterrupt), create_part(path, MANIFEST):
        raise KeyboardInterrupt
    assert not path.exists()


def test_a_part_with_a_row_stays_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    with pytest.raises(KeyboardInterrupt), create_part(path, MANIFEST) as writer:
        writer.append(*rows(5, 2))
        raise KeyboardInterrupt
    assert starts(read_part(path)) == [5]


def test_a_part_that_is_finished_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sizes = tmp_path / "a.part", []
    monkeypatch.setattr(os, "fsync", lambda number: sizes.append(os.fstat(number).st_size))
    write(path)
    assert sizes == [path.stat().st_size]


def test_a_part_that_its_writer_took_away_is_not_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl, path = pytest.importorskip("fcntl"), tmp_path / "a.part"
    lock = fcntl.flock

    def late(file: object, how: int) -> None:
        path.unlink()  # by a process that has finished between our opening it and our lock
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(PartError, match="another process is writing"), locked_part(path):
        pass


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    with pytest.raises(PartError, match="No such file"):
        read_part(tmp_path / "none.part")


def test_a_manifest_of_complex_numbers_is_read_back() -> None:
    dtype = np.dtype([("C", "<c16"), ("H", "<f2", (2,))])
    columns = (TableColumn("C"), TableColumn("H"))
    manifest = dataclasses.replace(MANIFEST, dtype=dtype, columns=columns)
    assert Manifest.from_fields(fields_of(line_of(manifest.to_fields()))) == manifest
