"""Lines of JSON that say whether they are whole."""

from __future__ import annotations

import json
import zlib
from typing import Any

__all__ = ["fields_of", "line_of"]


def line_of(fields: object) -> bytes:
    r"""JSON, ASCII, and its CRC-32, as one line.

    >>> line_of({"end": 3})
    b'{"end": 3} 57c622e7\n'
    """
    text = json.dumps(fields, sort_keys=True).encode("ascii")
    return b"%b %08x\n" % (text, zlib.crc32(text))


def fields_of(line: bytes) -> Any:
    """What `line_of` made a line of.

    Raises
    ------
    ValueError
        If the line is damaged, or never was one.
    """
    text, _, checksum = line.rpartition(b" ")
    if checksum != b"%08x\n" % zlib.crc32(text):
        raise ValueError("a line is not as it was written")
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("a line is nested too deep") from error
