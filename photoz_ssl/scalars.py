"""Values that files of ours hold as JSON: of the types that were written, and nothing else."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["require_types"]


def require_types(fields: Mapping[str, Any], described: type) -> None:
    """Refuse values that the fields of a dataclass cannot have.

    Python would take a text for a number, or a fraction for a whole number, until it is used.

    Parameters
    ----------
    fields : mapping
        The values by field. Those of unknown fields are not looked at.
    described : type
        A dataclass. Where a field's default is text, a finite number, or true or false, so has
        the value to be.

    Raises
    ------
    TypeError
        That names the first that is of another type.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(described)}
    for name in fields.keys() & defaults.keys():
        default, value = defaults[name], fields[name]
        if not isinstance(default, (bool, int, float, str)):
            continue
        kinds = (int, float) if type(default) is float else (type(default),)
        usable = type(value) in kinds  # not isinstance, as True is an int
        if type(default) is float:
            usable = usable and abs(value) <= sys.float_info.max
        if not usable:
            raise TypeError(f"{name} is {value!r:.40}")
