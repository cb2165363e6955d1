"""Options made from a config's fields: the flag is the field's name, the default the field's."""

from __future__ import annotations

import dataclasses
import logging
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from photoz_ssl.fields import AUTO
from photoz_ssl.recipes import recipe_values

__all__ = ["command", "config_from", "given_values"]

Config = TypeVar("Config")
Command = Callable[..., None]

CONFIG_FILE = "photoz_ssl.config_file"
"""Where a command's context remembers which values a config file set."""


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
    """Text that has to match a pattern."""

    def __init__(self, pattern: str, spelled: str) -> None:
        self.name = "text"
        self._pattern, self._spelled = pattern, spelled

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not re.fullmatch(self._pattern, str(value)):
            self.fail(f"{value!r} is not {self._spelled}", param, ctx)
        return str(value)


def command(
    config_class: type, *, examples: str, extra: Sequence[click.Parameter] = ()
) -> Callable[[Command], click.Command]:
    """Make a function a command whose parameters are the fields of a config.

    Parameters
    ----------
    config_class : type
        One of the dataclasses of `photoz_ssl.config`.
    examples : str
        Lines that can be pasted into a shell; they end the command's help.
    extra : sequence of click.Parameter
        Options that are not fields.
    """

    def decorate(function: Command) -> click.Command:
        types = typing.get_type_hints(config_class)
        parameters = [_parameter(field, types[field.name]) for field in _own_first(config_class)]
        settings = {"help_option_names": ["-h", "--help"]}
        return click.command(
            context_settings=settings,
            params=[*sorted(parameters, key=_help_order), *extra, *_common_options()],
            epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples.split("\n")),
        )(function)

    return decorate


def config_from(config_class: type[Config], values: Mapping[str, Any]) -> Config:
    """The frozen config that a command's parameters spell.

    Parameters
    ----------
    config_class : type
        One of the dataclasses of `photoz_ssl.config`.
    values : mapping
        The command's parameters; those that are not fields are left out.

    Raises
    ------
    photoz_ssl.errors.ConfigError
        If the config refuses a value.
    """
    names = {field.name for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    return config_class(**{name: value for name, value in values.items() if name in names})


def _own_first(config_class: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a config, its own before those that it shares with other commands."""
    generation = {
        name: age
        for age, parent in reversed(list(enumerate(config_class.__mro__)))
        for name in vars(parent).get("__annotations__", ())
    }
    return sorted(dataclasses.fields(config_class), key=lambda field: generation[field.name])


def _parameter(field: dataclasses.Field[Any], annotation: Any) -> click.Parameter:
    if field.metadata.get("argument"):
        required = field.default is dataclasses.MISSING
        return click.Argument(
            [field.name],
            type=_click_type(annotation, ()),
            required=required,
            nargs=-1 if field.metadata.get("several") else 1,
        )
    flag = "--" + field.name.replace("_", "-")
    declarations = [*(field.metadata["flags"] or (flag,)), field.name]
    if annotation is bool:
        declarations[-2] = f"{flag}/--no-{flag[2:]}" if field.default else flag
        return click.Option(
            declarations, is_flag=True, default=field.default, help=field.metadata["help"]
        )
    if field.metadata.get("or_auto"):
        return click.Option(
            declarations, type=NumberOrAuto(), default="auto", help=field.metadata["help"]
        )
    if "pattern" in field.metadata:
        return click.Option(
            declarations,
            type=Spelled(field.metadata["pattern"], field.metadata["spelled"]),
            is_flag=False,
            flag_value=field.metadata["bare"],
            default=field.default,
            show_default=True,
            help=field.metadata["help"],
        )
    settings: dict[str, Any] = {
        "type": _click_type(annotation, field.metadata["choices"]),
        "help": field.metadata["help"],
        "multiple": _is_list_of_text(annotation),
    }
    if field.name == "recipe":
        settings |= {"is_eager": True, "callback": _apply_recipe}
    if field.metadata.get("required"):
        return click.Option(declarations, required=True, **settings)
    says_default = field.default in (None, ()) or "[default:" in field.metadata["help"]
    return click.Option(
        declarations, default=field.default, show_default=not says_default, **settings
    )


def _click_type(annotation: Any, choices: tuple[str, ...]) -> click.ParamType[Any]:
    if choices:
        return click.Choice(choices)
    if isinstance(annotation, UnionType):
        annotation = next(kind for kind in typing.get_args(annotation) if kind is not NoneType)
    if _is_list_of_text(annotation):
        return click.STRING
    if typing.get_origin(annotation) is tuple:
        return NumberList()
    if annotation is Path:
        return click.Path(path_type=Path)
    scalars: dict[Any, click.ParamType[Any]] = {
        int: click.INT,
        float: click.FLOAT,
        str: click.STRING,
    }
    return scalars[annotation]


def _is_list_of_text(annotation: Any) -> bool:
    """Whether a field is a list of text: an option that may be given several times."""
    return typing.get_origin(annotation) is tuple and typing.get_args(annotation)[0] is str


def _help_order(parameter: click.Parameter) -> tuple[bool, bool]:
    return isinstance(parameter, click.Option), not parameter.required


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            help="TOML file with a table per command; flags win.",
            is_eager=True,
            expose_value=False,
            callback=_apply_config_file,
        ),
        click.Option(["-q", "--quiet"], is_flag=True, help="Say nothing but errors."),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            callback=_log_on_stderr,
            help="Say what is read, chosen and written.",
        ),
    ]


def _log_on_stderr(ctx: click.Context, param: click.Parameter, verbose: bool) -> bool:
    """Show the package's own log records when asked to say more."""
    if verbose:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
        logger = logging.getLogger("photoz_ssl")
        logger.handlers = [handler]
        logger.setLevel(logging.INFO)
    return verbose


def _apply_config_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Let a TOML file's table of this command's name set the defaults."""
    if path is None:
        return
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path} is not a readable TOML file: {error}") from error
    table = tables.get(ctx.info_name or "", {})
    if not isinstance(table, dict):
        raise click.BadParameter(f"[{ctx.info_name}] in {path} is not a table")
    values = {name.replace("-", "_"): value for name, value in table.items()}
    known = {parameter.name for parameter in ctx.command.params}
    unknown = sorted(set(values) - known)
    if unknown:
        raise click.BadParameter(f"{path} sets {unknown[0]!r}, which {ctx.info_name} does not have")
    ctx.default_map = {**(ctx.default_map or {}), **values}
    ctx.meta[CONFIG_FILE] = dict.fromkeys(values, str(path))


def _apply_recipe(ctx: click.Context, param: click.Parameter, recipe: str | None) -> str | None:
    """Let a recipe set the defaults, below what a config file sets."""
    if recipe is not None:
        values = recipe_values(recipe, ctx.info_name or "")
        ctx.default_map = {**values, **(ctx.default_map or {})}
    return recipe


def given_values() -> dict[str, str]:
    """Where each value of the running command is from, if it was given: a flag, or a file."""
    ctx = click.get_current_context()
    from_file: dict[str, str] = ctx.meta.get(CONFIG_FILE, {})
    flags = {
        name: "flag"
        for name in ctx.params
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    return {**from_file, **flags}
