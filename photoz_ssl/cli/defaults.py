"""Where options' defaults come from: a TOML file, or a recipe; flags win over both."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from photoz_ssl.cli.types import NumberList, NumberOrAuto, SkyPosition, Spelled
from photoz_ssl.recipes import recipe_values

__all__ = ["apply_recipe", "config_option", "given_values"]

CONFIG_FILE = "photoz_ssl.config_file"
"""Where a command's context remembers which values a config file set."""


def config_option() -> click.Option:
    """``--config``, the TOML file."""
    return click.Option(
        ["--config"],
        type=click.Path(path_type=Path),
        help="TOML file with a table per command; flags win.",
        is_eager=True,
        expose_value=False,
        callback=_apply_config_file,
    )


def apply_recipe(ctx: click.Context, param: click.Parameter, recipe: str | None) -> str | None:
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


def _apply_config_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    """Let a TOML file's table of this command's name set the defaults."""
    if path is None:
        return
    tables, command = _tables_of(path), ctx.info_name or ""
    _require_known_tables(path, tables, ctx)
    fields, values = _fields_by_name(ctx), dict[str, Any]()
    for word, value in tables.get(command, {}).items():
        name = fields.get(word.replace("-", "_"), word)
        if name in values:
            raise click.BadParameter(f"{path} sets {name} in [{command}] twice, under two names")
        values[name] = value
    parameters = {parameter.name: parameter for parameter in ctx.command.params if parameter.name}
    for name, value in values.items():
        if name not in parameters or name == param.name:
            raise click.BadParameter(f"{path} sets {name!r}, which {command} does not have")
        fits, wanted = _wanted(parameters[name], value)
        if not fits:
            spelled = json.dumps(value, default=str, ensure_ascii=False)  # TOML's, but for tables
            raise click.BadParameter(
                f"{path}: {name} in [{command}] is {spelled:.60}, but takes {wanted}"
            )
    ctx.default_map = {**(ctx.default_map or {}), **values}
    ctx.meta[CONFIG_FILE] = dict.fromkeys(values, str(path))


def _fields_by_name(ctx: click.Context) -> dict[str, str]:
    """What a file may call each field of a command: as it is called itself, or as its flag."""
    named = [(parameter.name, parameter.opts) for parameter in ctx.command.params]
    flags = {
        flag[2:].replace("-", "_"): name
        for name, words in named
        for flag in words
        if name and flag.startswith("--")
    }
    return {**flags, **{name: name for name, _ in named if name}}


def _tables_of(path: Path) -> dict[str, dict[str, Any]]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise click.BadParameter(f"{path} is not a readable TOML file: {error}") from error
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise click.BadParameter(f"{path}: {name!r} stands in no table of a command")
    return tables


def _require_known_tables(path: Path, tables: dict[str, Any], ctx: click.Context) -> None:
    """Refuse a table that is no command's; it may be a misspelt one."""
    group = ctx.find_root().command
    if not isinstance(group, click.Group) or tables.keys() <= {ctx.info_name}:
        return
    commands = list(_names_of_commands(group, ctx))
    for name in tables.keys() - set(commands):
        alike = difflib.get_close_matches(name, commands, n=1)
        instead = f"did you mean [{alike[0]}]?" if alike else f"those are {', '.join(commands)}"
        raise click.BadParameter(f"{path}: [{name}] is no command; {instead}")


def _names_of_commands(group: click.Group, ctx: click.Context) -> Iterator[str]:
    """The names of a group's commands, and of those of the groups in it."""
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from _names_of_commands(command, ctx)
        else:
            yield name


def _wanted(parameter: click.Parameter, value: Any) -> tuple[bool, str]:
    """Whether a value of a TOML file is of a parameter's type, and what that is in words."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if isinstance(parameter, click.Option) and parameter.is_bool_flag:
        return isinstance(value, bool), "true or false"
    if parameter.multiple or parameter.nargs == -1:
        return _is_list_of(str, value), "a list of texts"
    if isinstance(parameter.type, NumberOrAuto):
        return whole or value == "auto", 'a whole number or "auto"'
    if isinstance(parameter.type, NumberList):
        return isinstance(value, str) or _is_list_of((int, float), value), "a list of numbers"
    if isinstance(parameter.type, SkyPosition):
        return isinstance(value, str) or _is_list_of((int, float), value), "RA and Dec"
    if isinstance(parameter.type, Spelled):
        return isinstance(value, str), f"a text: {parameter.type.spelled}"
    if parameter.type is click.INT:
        return whole, "a whole number"
    if parameter.type is click.FLOAT:
        return whole or isinstance(value, float), "a number"
    return isinstance(value, str), "a text"


def _is_list_of(kinds: Any, value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, kinds) and not isinstance(entry, bool) for entry in value
    )
