"""Options made from a config's fields: the flag is the field's name, the default the field's."""

from __future__ import annotations

import dataclasses
import logging
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar

import click

from photoz_ssl.cli.defaults import apply_recipe, config_option
from photoz_ssl.cli.types import NumberList, NumberOrAuto, SkyPosition, Spelled
from photoz_ssl.errors import ConfigError
from photoz_ssl.fields import flag_of

__all__ = ["command", "config_from"]

Config = TypeVar("Config")
Command = Callable[..., None]

SELECTION_FROM_STDIN = "-["


class ConfiguredCommand(click.Command):
    """A command whose errors about options name it, and which takes ``-[1][R < 17]``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take a selection from standard input for an argument, where click sees options."""
        selections = [word for word in args if word.startswith(SELECTION_FROM_STDIN)]
        if selections and "--" not in args:
            others = [word for word in args if word not in selections]
            args = [*others, "--", *selections]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            if error.hint != ConfigError.usual_hint:
                raise
            hint = f"{ctx.command_path} --help tells what each option takes"
            raise ConfigError(error.message, hint) from error


def command(
    config_class: type, *, examples: Sequence[str], extra: Sequence[click.Parameter] = ()
) -> Callable[[Command], click.Command]:
    """Make a function a command whose parameters are the fields of a config.

    Parameters
    ----------
    config_class : type
        One of the dataclasses of `photoz_ssl.config`.
    examples : sequence of str
        Lines that can be pasted into a shell; they end the command's help.
    extra : sequence of click.Parameter
        Options that are not fields.
    """

    def decorate(function: Command) -> click.Command:
        types = typing.get_type_hints(config_class)
        parameters = [_parameter(field, types[field.name]) for field in _own_first(config_class)]
        settings = {"help_option_names": ["-h", "--help"]}
        return click.command(
            cls=ConfiguredCommand,
            context_settings=settings,
            params=[*sorted(parameters, key=_help_order), *extra, *_common_options()],
            epilog="\b\nExamples:\n" + "\n".join(f"  {line}" for line in examples),
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
    click.UsageError
        If the config refuses a value.
    """
    names = {field.name for field in dataclasses.fields(config_class)}  # type: ignore[arg-type]
    try:
        return config_class(**{name: value for name, value in values.items() if name in names})
    except ConfigError as error:
        usual = error.hint == ConfigError.usual_hint  # click says the same
        message = error.message if usual else str(error)
        raise click.UsageError(message, click.get_current_context(silent=True)) from error


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
        return click.Argument(
            [field.name],
            type=_click_type(annotation, ()),
            required=field.default is dataclasses.MISSING,
            nargs=-1 if field.metadata.get("several") else 1,
        )
    flag = flag_of(field.name)
    flags = [*(field.metadata.get("flags") or (flag,))]
    if annotation is bool:
        flags[-1] = f"{flag}/--no-{flag[2:]}" if field.default else flag
    settings = {"help": field.metadata["help"], **_settings(field, annotation)}
    return click.Option([*flags, field.name], **settings)


def _settings(field: dataclasses.Field[Any], annotation: Any) -> dict[str, Any]:
    """What an option takes, and what it is without, as click wants to know it."""
    if annotation is bool:
        return {"is_flag": True, "default": field.default}
    if field.metadata.get("or_auto"):
        return {"type": NumberOrAuto(), "default": "auto"}
    if "pattern" in field.metadata:
        spelled = Spelled(*(field.metadata[name] for name in ("pattern", "spelled", "bare")))
        bare = {"is_flag": False, "flag_value": field.metadata["bare"]}
        return {"type": spelled, "default": field.default, "show_default": True, **bare}
    settings: dict[str, Any] = {
        "type": _click_type(annotation, field.metadata.get("choices", ())),
        "multiple": _is_list_of_text(annotation),
    }
    if field.name == "recipe":
        settings |= {"is_eager": True, "callback": apply_recipe}
    if field.metadata.get("required"):
        return {**settings, "required": True}
    says_default = field.default in (None, ()) or "[default:" in field.metadata["help"]
    return {**settings, "default": field.default, "show_default": not says_default}


def _click_type(annotation: Any, choices: tuple[str, ...]) -> click.ParamType[Any]:
    if choices:
        return click.Choice(choices)
    if isinstance(annotation, UnionType):
        annotation = next(kind for kind in typing.get_args(annotation) if kind is not NoneType)
    if _is_list_of_text(annotation):
        return click.STRING
    if typing.get_origin(annotation) is tuple:
        return NumberList() if Ellipsis in typing.get_args(annotation) else SkyPosition()
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
        config_option(),
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
