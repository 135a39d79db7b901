"""Predicates over factors: "scale>=4 & shape=='heart'" says which rows of a grid are held out.

Numbers are levels, counted from 0; words in quotes are names of levels. There are comparisons,
chained or not, `in` with a list, + - * // % of levels and whole numbers, and `&`, `|`, `~` (or
`and`, `or`, `not`), which bind less tightly than comparisons. Nothing else is understood, and
nothing is ever executed.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samediff_stimuli.factors import Factor, FactorSpace, Levels
from samediff_stimuli.recipe import InputError

MAX_LENGTH = 2000  # characters
_MAX_NUMBER = 10**6  # so that no arithmetic overflows
_WORDS = {"&": "and", "|": "or", "~": "not"}
_LEGAL = "levels and names compared by == != < <= > >= in, joined by & | ~, with + - * // %"
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.remainder,
}


@dataclass(frozen=True, kw_only=True)
class Predicate:
    """A checked expression over the factors of a space.

    Attributes:
        text: as it was given.
        space: whose factors it names.
        tree: its syntax tree.
    """

    text: str
    space: FactorSpace
    tree: ast.expr

    def holds(self, levels: Levels) -> NDArray[np.bool_]:
        """(n,) bool: whether it is true of each row of (n, n_factors) levels."""
        columns = {name: levels[:, i] for i, name in enumerate(self.space.names)}
        value = _Evaluation(self.text, self.space, columns).truth(self.tree)
        return np.broadcast_to(value, (len(levels),)).copy()

    def rows(self) -> NDArray[np.bool_]:
        """(n,) bool: whether it is true of each row of the whole grid."""
        axes = np.meshgrid(
            *(np.arange(size, dtype=np.int64) for size in self.space.sizes),
            indexing="ij",
            sparse=True,
        )
        columns = dict(zip(self.space.names, axes, strict=True))
        value = _Evaluation(self.text, self.space, columns).truth(self.tree)
        return np.broadcast_to(value, self.space.sizes).reshape(-1).copy()


def parse(text: str, space: FactorSpace) -> Predicate:
    """Check an expression.

    Args:
        text: e.g. "scale>=4 & shape=='heart'".
        space: whose factors it may name.

    Raises:
        InputError: not an expression of the language, an unknown factor, or an unknown level.
    """
    if not text.strip() or len(text) > MAX_LENGTH or not text.isprintable():
        raise _error(text, f"it must be one line of 1 .. {MAX_LENGTH} characters")
    try:
        tree = ast.parse(_with_words(text), mode="eval").body
        predicate = Predicate(text=text, space=space, tree=tree)
        predicate.holds(np.zeros((1, len(space.factors)), dtype=np.int64))
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = error.msg if isinstance(error, SyntaxError) else "too deep or not closed"
        raise _error(text, f"{reason}; legal: {_LEGAL}") from error
    return predicate


def _with_words(text: str) -> str:
    """The expression with `&`, `|` and `~` as words, which bind less tightly than comparisons."""
    tokens = tokenize.generate_tokens(io.StringIO(text.strip()).readline)
    return " ".join(_WORDS.get(token.string, token.string) for token in tokens).strip()


def _error(text: str, reason: str) -> InputError:
    shown = text if len(text) <= 80 else f"{text[:77]}..."
    return InputError(f"expression {shown!r} is not legal: {reason}")


class _Evaluation:
    """The value of a tree over columns of levels; names of levels become levels by their factor."""

    def __init__(self, text: str, space: FactorSpace, columns: dict[str, Levels]) -> None:
        self.text, self.space, self.columns = text, space, columns

    def truth(self, node: ast.expr) -> Any:
        """A boolean array."""
        if isinstance(node, ast.BoolOp):
            parts = [self.truth(value) for value in node.values]
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            out = parts[0]
            for part in parts[1:]:
                out = join(out, part)
            return out
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return np.logical_not(self.truth(node.operand))
        if isinstance(node, ast.Compare):
            return self._compared(node)
        raise _error(self.text, f"{ast.unparse(node)!r} is not true or false; legal: {_LEGAL}")

    def _compared(self, node: ast.Compare) -> Any:
        sides = [node.left, *node.comparators]
        factor = self._factor_of(sides)
        out: Any = np.True_
        for left, kind, right in zip(sides, node.ops, sides[1:], strict=False):
            if isinstance(kind, ast.In | ast.NotIn):
                if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
                    raise _error(self.text, "'in' takes a list, such as [1, 2]")
                value = self._number(left, factor)
                found: Any = np.False_
                for element in right.elts:
                    self._check_level(left, element)
                    found = np.logical_or(found, np.equal(value, self._number(element, factor)))
                result = np.logical_not(found) if isinstance(kind, ast.NotIn) else found
            elif type(kind) in _COMPARE:
                self._check_level(left, right)
                self._check_level(right, left)
                operands = self._number(left, factor), self._number(right, factor)
                result = _COMPARE[type(kind)](*operands)
            else:
                raise _error(self.text, f"'is' is not known; legal: {_LEGAL}")
            out = np.logical_and(out, result)
        return out

    def _factor_of(self, sides: list[ast.expr]) -> Factor | None:
        """The one factor that a comparison names, if it names one: what words in it belong to."""
        names = {n.id for side in sides for n in ast.walk(side) if isinstance(n, ast.Name)}
        name = names.pop() if len(names) == 1 else ""
        return self.space.factor(name) if name in self.columns else None

    def _check_level(self, side: ast.expr, other: ast.expr) -> None:
        """Refuse to compare a factor with a number that is none of its levels."""
        if isinstance(side, ast.Name) and side.id in self.columns:
            factor = self.space.factor(side.id)
            value = other.value if isinstance(other, ast.Constant) else 0
            if isinstance(value, float) or (type(value) is int and not value < len(factor)):
                last = len(factor) - 1
                raise _error(self.text, f"{value} is no level of {side.id}; it has 0 .. {last}")

    def _number(self, node: ast.expr, factor: Factor | None) -> Any:
        """Levels, or a whole number."""
        if isinstance(node, ast.Name):
            if node.id not in self.columns:
                known = ", ".join(self.space.names)
                raise _error(
                    self.text, f"{node.id!r} is no factor; there are {known}; quote names of levels"
                )
            return self.columns[node.id]
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return self._level(node.value, factor)
        if isinstance(node, ast.Constant) and type(node.value) is int:
            if abs(node.value) > _MAX_NUMBER:
                raise _error(self.text, f"{node.value} is too large; legal: -10**6 .. 10**6")
            return np.int64(node.value)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -self._number(node.operand, factor)
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            left, right = self._number(node.left, factor), self._number(node.right, factor)
            if isinstance(node.op, ast.FloorDiv | ast.Mod) and np.any(np.equal(right, 0)):
                raise _error(self.text, "a division by zero")
            if max(int(np.abs(left).max()), int(np.abs(right).max())) > _MAX_NUMBER:
                raise _error(self.text, f"its numbers are too large; legal: up to {_MAX_NUMBER}")
            return _ARITHMETIC[type(node.op)](left, right)
        raise _error(self.text, f"{ast.unparse(node)!r} is not known; legal: {_LEGAL}")

    def _level(self, word: str, factor: Factor | None) -> np.int64:
        if factor is None or not factor.names:
            what = "the factors here have" if factor is None else f"{factor.name} has"
            raise _error(self.text, f"{word!r} names no level: {what} levels by number")
        if word not in factor.names:
            known = ", ".join(factor.names)
            raise _error(self.text, f"{factor.name} has no level {word!r}; it has {known}")
        return np.int64(factor.names.index(word))
