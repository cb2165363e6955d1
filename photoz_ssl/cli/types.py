"""Values that options take and click has no type for."""

from __future__ import annotations

import re
from typing import Any

import click

from photoz_ssl.errors import ConfigError
from photoz_ssl.fields import AUTO

__all__ = ["NumberList", "NumberOrAuto", "SkyPosition", "Spelled"]


class NumberList(click.ParamType[tuple[float, ...]]):
    """Numbers separated by commas, such as ``0.8,0.1,0.1``."""

    name = "a,b,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, (tuple, list)):
            return tuple(float(number) for number in value)
        try:
            return tuple(float(number) for number in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers such as 0.8,0.1,0.1", param, ctx)


class SkyPosition(click.ParamType[tuple[float, float]]):
    """Right ascension and declination, in degrees or sexagesimal; see `position_of`."""

    name = "ra,dec"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from photoz_ssl.survey.angles import position_of

        if isinstance(value, (tuple, list)):
            value = ",".join(str(angle) for angle in value)
        try:
            return position_of(str(value))
        except ConfigError as error:
            self.fail(f"{error.message}: {error.hint}", param, ctx)


class NumberOrAuto(click.ParamType[int]):
    """A positive whole number, or ``auto``."""

    name = "n|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto":
            return AUTO
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = 0
        if number < 1:
            self.fail(f"{value!r} is neither a positive whole number nor auto", param, ctx)
        return number


class Spelled(click.ParamType[str]):
    """Text that has to match a pattern; its option may also stand without a value.

    Parameters
    ----------
    pattern : str
        Regular expression that all of the text has to match.
    spelled : str
        What it says, for an error.
    bare : str
        What the option means without a value.
    """

    name = "text"

    def __init__(self, pattern: str, spelled: str, bare: str) -> None:
        self._pattern, self.spelled, self._bare = pattern, spelled, bare

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not re.fullmatch(self._pattern, str(value)):
            self.fail(f"{value!r} is not {self.spelled}{self._advice(param, ctx)}", param, ctx)
        return str(value)

    def _advice(self, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """What to do where an argument was taken for the option's value."""
        parameters = ctx.command.params if ctx else []
        arguments = [each for each in parameters if isinstance(each, click.Argument)]
        if param is None or ctx is None or not arguments:
            return ""
        name, option = arguments[0].make_metavar(ctx), param.opts[0]
        return f"; {name} goes before {option}, or write {option}={self._bare}"
