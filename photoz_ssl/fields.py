"""The fields of the configurations, and what the command line has to know of each."""

from __future__ import annotations

import re
from dataclasses import field, fields
from typing import Any

from photoz_ssl.errors import ConfigError

__all__ = [
    "AUTO",
    "COLUMN_STYLES",
    "DEVICES",
    "INFERENCE_PRECISIONS",
    "PRECISIONS",
    "SLURM",
    "TABLE_FORMATS",
    "argument",
    "arguments",
    "dask_option",
    "device_option",
    "flag_of",
    "format_option",
    "number_or_auto",
    "numbers_of_shard",
    "option",
    "optional_argument",
    "options_of_job",
    "output_option",
    "overwrite_option",
    "refuse_format",
    "refuse_seed",
    "refuse_shard",
    "refuse_unless",
    "required_option",
    "resume_option",
    "shard_option",
    "spelled_option",
    "workers_option",
]

AUTO = 0
"""A number that is to be chosen, spelled ``auto``."""

SLURM = "slurm"
"""The share of a task of an array job."""

DEVICES = ("auto", "cpu", "cuda")
COLUMN_STYLES = ("legacy", "sdss", "rail", "lsst")
PRECISIONS = ("auto", "fp32", "bf16")
TABLE_FORMATS = ("auto", "fits", "votable", "parquet", "ecsv", "qp")
INFERENCE_PRECISIONS = (*PRECISIONS, "int8")


def option(
    default: Any,
    help: str,
    *,
    flags: tuple[str, ...] = (),
    choices: tuple[str, ...] = (),
    of_job: bool = True,
) -> Any:
    """A field with a default that the command line offers as an option.

    Parameters
    ----------
    default
        The option's default; a bool makes it a switch.
    help : str
        One sentence for ``--help``.
    flags : tuple of str
        The flags, where they are not just the field's name.
    choices : tuple of str
        The values it can take, where they are few.
    of_job : bool
        Whether parts that were made with different values do not belong together; see
        `options_of_job`.
    """
    metadata = {"help": help, "flags": flags, "choices": choices, "of_job": of_job}
    return field(default=default, metadata=metadata)


def spelled_option(default: str, help: str, *, pattern: str, spelled: str, bare: str) -> Any:
    """A field of text of a certain form; the option may also stand without a value.

    Parameters
    ----------
    default : str
        Without the option.
    help : str
        One sentence for ``--help``.
    pattern : str
        Regular expression that all of the text has to match.
    spelled : str
        What it says, for an error.
    bare : str
        What the option means without a value.
    """
    spelling = {"pattern": pattern, "spelled": spelled, "bare": bare}
    return field(default=default, metadata={"help": help, **spelling})


def required_option(help: str, *, flags: tuple[str, ...] = ()) -> Any:
    """A field without a default that the command line demands as an option."""
    return field(metadata={"help": help, "flags": flags, "required": True, "of_job": False})


def number_or_auto(help: str) -> Any:
    """A field of a whole number, by default `AUTO`."""
    return field(default=AUTO, metadata={"help": help, "or_auto": True, "of_job": False})


def argument(help: str) -> Any:
    """A field that the command line takes as a positional argument."""
    return field(metadata={"help": help, "argument": True, "of_job": False})


def arguments(help: str) -> Any:
    """A field that takes all positional arguments, at least one, as a tuple."""
    return field(metadata={"help": help, "argument": True, "of_job": False, "several": True})


def optional_argument(help: str) -> Any:
    """A field that the command line takes as a positional argument, or None without one."""
    return field(default=None, metadata={"help": help, "argument": True, "of_job": False})


def output_option(what: str) -> Any:
    """``-o``: the file or folder that the command makes."""
    return required_option(f"{what} to write.", flags=("-o", "--output"))


def format_option(choices: tuple[str, ...] = TABLE_FORMATS) -> Any:
    """``--format``, of commands that write a table."""
    return option(
        "auto", "Format of the table: auto goes by its suffix.", choices=choices, of_job=False
    )


def overwrite_option() -> Any:
    """``--overwrite``."""
    return option(False, "Replace the output if it exists.", of_job=False)


def device_option() -> Any:
    """``--device``."""
    return option("auto", "Where the network runs.", choices=DEVICES, of_job=False)


def resume_option() -> Any:
    """``--resume``, of work that is kept in parts."""
    return option(False, "Go on from the last finished block of an interrupted run.", of_job=False)


def shard_option() -> Any:
    """``--shard``, of work that is kept in parts."""
    return option(
        None,
        "Only a share of the rows, such as 2/8, or slurm in an array job; merge joins them.",
        of_job=False,
    )


def dask_option() -> Any:
    """``--dask``, of work that is kept in parts."""
    return option(
        None,
        "Dask scheduler whose workers compute, tcp://HOST:8786, or local:4 to start four.",
        of_job=False,
    )


def workers_option() -> Any:
    """``--workers``, of commands that read images."""
    return option(0, "Threads that read images [default: one a core].", of_job=False)


def flag_of(name: str) -> str:
    """How a field is named on the command line.

    >>> flag_of("batch_size")
    '--batch-size'
    """
    return "--" + name.replace("_", "-")


def options_of_job(config: Any) -> dict[str, str]:
    """The options on which the rows of a table or an atlas depend, by flag.

    Left out are those that change no number, such as how many processes work, and those of which
    a job tells by something better: the fingerprint of a file says more than its name.

    Parameters
    ----------
    config
        The configuration of a command whose work is kept in parts.
    """
    return {
        flag_of(each.name): str(getattr(config, each.name))
        for each in fields(config)
        if each.metadata.get("of_job", True)
    }


def refuse_unless(condition: bool, message: str) -> None:
    """Raise `ConfigError` with a message unless a condition holds."""
    if not condition:
        raise ConfigError(message)


def refuse_seed(seed: int) -> None:
    """Raise `ConfigError` unless every generator of random numbers takes a seed."""
    refuse_unless(0 <= seed < 1 << 63, "--seed must lie between 0 and 2^63 - 1")


def refuse_format(output: str | None, chosen: str) -> None:
    """Raise `ConfigError` for a ``--format`` that does not go to standard output."""
    refuse_unless(output != "-" or chosen in ("auto", "fits"), "standard output carries FITS only")


def refuse_shard(shard: str | None) -> None:
    """Raise `ConfigError` for a ``--shard`` that is no share; a task of SLURM is known later."""
    if shard is not None and shard != SLURM:
        numbers_of_shard(shard)


def numbers_of_shard(text: str) -> tuple[int, int]:
    """The number of a share of the rows, from 1, and how many there are: of ``2/8`` 2 and 8.

    Raises
    ------
    ConfigError
        If it is no share.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(
            f"--shard {text} is no share of the rows", "say 1/8 to 8/8, or slurm in an array job"
        )
    return int(match[1]), int(match[2])
