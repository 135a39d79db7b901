"""Words and tables in Markdown, for cards and reports."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def plain(text: str) -> str:
    """Words that somebody brought, so that Markdown shows them as they are."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    marks = r"[\\*\[\]`]|(?<![^\W_])_|_(?![^\W_])"  # a_b is no emphasis
    return re.sub(marks, r"\\\g<0>", safe)


def code(text: str) -> str:
    """The same as code, between as many backticks as it takes."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " * (text[:1] == "`" or text[-1:] == "`")
    return f"{fence}{pad}{text}{pad}{fence}"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, with no line break at its end; a | in a cell is shown, and parts no cells.

    Args:
        head: of each column.
        rows: cells, as many as there are heads.
    """
    lines = [head, ["---"] * len(head), *rows]
    escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)
