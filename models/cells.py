"""The cells of a train-on-one, test-on-all matrix, and the tables that they make."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from samediff_stimuli.markdown import markdown_table
from samediff_stimuli.models import metrics


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One number of the matrix.

    Attributes:
        trained: name of the set that the model was trained on.
        tested: name of the set that it was tested on.
        split: name of the tested split.
        label: None if the number is an accuracy; else the number is the share of "same" among the
            answers to images of this label.
        images: how many images were tested.
        by_seed: the number in [0, 1] of each seed's model.
    """

    trained: str
    tested: str
    split: str
    label: str | None
    images: int
    by_seed: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over seeds."""
        return statistics.median(self.by_seed)

    @property
    def half_width(self) -> float:
        """Half the width of the median's 95 % interval (Wilson's, binomial) over images."""
        low, high = metrics.wilson_ends(self.median, self.images)
        return (high - low) / 2


@dataclass(frozen=True, kw_only=True)
class MatrixResult:
    """The matrix.

    Attributes:
        cells: by trained set, tested set, split and label.
        models_trained: how many models were trained just now, not found finished.
    """

    cells: tuple[Cell, ...]
    models_trained: int

    def markdown(self) -> str:
        """Tables of accuracy, and of the share of "same" where labels are others; per cent."""
        parts = []
        accuracies = [cell for cell in self.cells if cell.label is None]
        if accuracies:
            parts.append("Accuracy in per cent, ± half a 95 % interval.\n\n" + _table(accuracies))
        others = [cell for cell in self.cells if cell.label is not None]
        for tested, split in dict.fromkeys((cell.tested, cell.split) for cell in others):
            chosen = [cell for cell in others if (cell.tested, cell.split) == (tested, split)]
            title = f'Answers "same" in per cent on {tested}/{split}, by label.\n\n'
            parts.append(title + _table(chosen))
        return "\n\n".join(parts) + "\n"


def _table(cells: Sequence[Cell]) -> str:
    """A Markdown table: a row for each trained set, a column for each split, or label."""
    splits: dict[str, set[str]] = {}
    for cell in cells:
        splits.setdefault(cell.tested, set()).add(cell.split)

    def column(cell: Cell) -> str:
        if cell.label is not None:
            return cell.label
        alone = splits[cell.tested] == {"test"}
        return cell.tested if alone else f"{cell.tested}/{cell.split}"

    rows: dict[str, dict[str, str]] = {}
    for cell in cells:
        text = f"{100 * cell.median:.1f} ± {100 * cell.half_width:.1f}"
        rows.setdefault(cell.trained, {})[column(cell)] = text
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    return markdown_table(
        ["trained on", *columns],
        [[name, *(row.get(column, "") for column in columns)] for name, row in rows.items()],
    )
