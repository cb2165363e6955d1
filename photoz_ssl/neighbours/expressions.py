"""Conditions on columns, such as ``Z_SPEC < 0.1 and PETRO_MAG_r < 17``, without running any code.

The text is parsed as a Python expression and walked over; what is not listed here is refused
before a single column is read.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ConfigError

__all__ = ["Condition", "parse_condition"]

LONGEST = 1000
"""Letters of a condition."""

DEEPEST = 50
"""Levels of a condition; more than anyone writes, fewer than Python's stack holds."""

LONGEST_INTEGER = 2**63

HINT = (
    "write something like \"Z_SPEC < 0.1 and SPLIT == 'train'\": with == for equal, text in quotes,"
    " and, or, not in small letters"
)

Column = NDArray[Any]
Function = Callable[..., Any]


def _modulo(one: Column, other: Column) -> Column:
    """What is left of a division; NaN of one by 0, of which NumPy leaves 0 of an integer."""
    left, by_zero = np.mod(one, other), np.equal(other, 0)
    return np.where(by_zero, np.nan, left) if np.any(by_zero) else left  # large integers stay


def _differs(one: Column, other: Column) -> Column:
    """Whether values differ; of a NaN nobody knows, where Python's ``!=`` says yes."""
    return (one < other) | (one > other)


ARITHMETIC: dict[type, Function] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: _modulo,
    ast.Pow: np.float_power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
}
COMPARISONS: dict[type, Function] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: _differs,
}
LOGIC: dict[type, Function] = {
    ast.And: np.logical_and,
    ast.Or: np.logical_or,
    ast.Not: np.logical_not,
}
FUNCTIONS: dict[str, Function] = {
    "abs": np.abs,
    "sqrt": np.sqrt,
    "log10": np.log10,
    "isnan": np.isnan,
}


@dataclass(frozen=True)
class Condition:
    """A condition on the columns of a table; see `parse_condition`.

    Parameters
    ----------
    text : str
        As it was written.
    names : tuple of str
        The columns that it needs, as written there.
    """

    text: str
    names: tuple[str, ...]
    _tree: ast.expr

    def holds(self, columns: Mapping[str, Column]) -> NDArray[np.bool_]:
        """For which rows the condition holds; a comparison with a NaN does not.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape (n,)
            At least those of `names`.

        Returns
        -------
        ndarray, shape (n,)

        Raises
        ------
        ConfigError
            If the condition is none, or compares text with numbers.
        """
        try:
            with np.errstate(all="ignore"):
                value = _value(self._tree, columns)
        except (TypeError, ValueError, OverflowError) as error:
            raise ConfigError(f"{self.text!r} mixes text and numbers", HINT) from error
        if not isinstance(value, np.ndarray) or value.dtype != bool:
            raise ConfigError(f"{self.text!r} is not a condition on columns", HINT)
        return value


def parse_condition(text: str) -> Condition:
    """Read a condition.

    It may have names of columns, numbers, text in quotes, ``+ - * / % **``, comparisons, ``and``,
    ``or``, ``not``, brackets, and the functions abs, sqrt, log10 and isnan.

    Raises
    ------
    ConfigError
        If it has anything else.
    """
    if len(text) > LONGEST:
        raise ConfigError(f"a condition of {len(text)} letters is too long", HINT)
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        names = tuple(dict.fromkeys(_names(tree)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{text!r} is not a condition on columns", HINT) from error
    return Condition(text, names, tree)


def _names(node: ast.expr, depth: int = 0) -> list[str]:
    """The columns in an expression that has nothing but what is allowed."""
    if isinstance(node, ast.Name):
        return [node.id]
    parts = _parts(node)
    if parts is None or depth > DEEPEST:
        raise ConfigError(f"{ast.unparse(node)!r} cannot be part of a condition", HINT)
    return [name for part in parts for name in _names(part, depth + 1)]


def _parts(node: ast.expr) -> list[ast.expr] | None:
    """What an expression is made of; None where it is of a kind that is not allowed."""
    match node:
        case ast.Constant(value=value) if _is_plain(value):
            return []
        case ast.BoolOp(values=parts):
            return parts
        case ast.Compare(left=left, ops=kinds, comparators=right):
            return [left, *right] if all(type(kind) in COMPARISONS for kind in kinds) else None
        case ast.BinOp(left=left, op=kind, right=right) if type(kind) in ARITHMETIC:
            return [left, right]
        case ast.UnaryOp(op=kind, operand=operand) if type(kind) in ARITHMETIC | LOGIC:
            return [operand]
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return [argument]
    return None


def _is_plain(value: object) -> bool:
    """Whether a constant is a number that numpy holds, or text."""
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return abs(value) < LONGEST_INTEGER
    return isinstance(value, float | str)


def _value(node: ast.expr, columns: Mapping[str, Column]) -> Any:
    """The value of an allowed expression: an array, or a numpy scalar."""
    match node:
        case ast.Name(id=name):
            return _readable(columns[name])
        case ast.Constant(value=value):
            return _in_ascii(np.str_(value)) if isinstance(value, str) else np.asarray(value)[()]
        case ast.BoolOp(op=kind, values=parts):
            return _folded(LOGIC[type(kind)], [_truth(_value(part, columns)) for part in parts])
        case ast.Compare(left=left, ops=kinds, comparators=right):
            values = [_value(part, columns) for part in (left, *right)]
            steps = zip(kinds, values, values[1:], strict=False)
            return _folded(np.logical_and, [_compared(*step) for step in steps])
        case ast.BinOp(left=left, op=kind, right=other):
            return ARITHMETIC[type(kind)](_value(left, columns), _value(other, columns))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return np.logical_not(_truth(_value(operand, columns)))
        case ast.UnaryOp(op=kind, operand=operand):
            return ARITHMETIC[type(kind)](_value(operand, columns))
        case ast.Call(func=ast.Name(id=name), args=[argument]):
            return FUNCTIONS[name](_value(argument, columns))
    raise ConfigError(f"{ast.unparse(node)!r} cannot be part of a condition", HINT)


def _readable(column: Column) -> Column:
    """Numbers, small integers as large ones; text without the blanks at its end."""
    if column.dtype.kind in "iu" and column.dtype.itemsize < 8:
        return column.astype(np.int64)
    if column.dtype.kind != "S":
        return column
    try:
        text = np.char.decode(column, "ascii")
    except UnicodeDecodeError:
        text = _in_ascii(np.char.decode(column, "utf-8", "backslashreplace"))
    return np.asarray(np.char.rstrip(text))


def _in_ascii(text: Any) -> Any:
    r"""Text whose letters outside ASCII are as FITS has them, é as ``\xe9``."""
    return np.char.decode(np.char.encode(text, "ascii", "backslashreplace"), "ascii")[()]


def _compared(kind: ast.cmpop, left: Any, right: Any) -> Any:
    if (left.dtype.kind == "U") != (right.dtype.kind == "U"):
        raise TypeError("text is compared with a number")
    return COMPARISONS[type(kind)](left, right)


def _truth(value: Any) -> Any:
    if value.dtype != bool:
        raise TypeError("a number is no condition")
    return value


def _folded(function: Function, values: list[Any]) -> Any:
    result = values[0]
    for value in values[1:]:
        result = function(result, value)
    return result
