"""What all pictures share: colours, axes, and a PNG file that is whole or not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from samediff_stimuli.recipe import InputError
from samediff_stimuli.replacing import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, VERMILION, GREEN, PINK = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
ORANGE, SKY, GREY = "#e69f00", "#56b4e9", "#5f6670"
COLOURS = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY)  # Okabe and Ito
ABSENT = "matplotlib is not installed; pip install 'samediff-stimuli[train]'"


def there() -> bool:
    """Whether pictures can be drawn: matplotlib is installed."""
    try:
        import matplotlib.figure  # noqa: F401  (looked for, not used)
    except ImportError:
        return False
    return True


def check() -> None:
    """Refuse to start where pictures cannot be drawn.

    Raises:
        InputError: if matplotlib is not installed.
    """
    if not there():
        raise InputError(ABSENT)


def figure(width: float, height: float, dpi: int = 130) -> Figure:
    """An empty figure of that many inches.

    Raises:
        InputError: if matplotlib is not installed.
    """
    check()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def plain(axes: Axes, *, lines: bool = False) -> None:
    """Take away the frame above and on the right; pale lines across if asked."""
    axes.spines[["top", "right"]].set_visible(False)
    if lines:
        axes.grid(axis="y", color="#e4e6e9", linewidth=0.8)
        axes.set_axisbelow(True)


def drawn(draw: Callable[[Path], None], path: Path, tell: Callable[[str], None]) -> bool:
    """Draw a picture, or say why there is none; an older one goes then.

    Args:
        draw: writes it to a path, or raises InputError.
        path: of the PNG.
        tell: given the reason.

    Returns:
        Whether it was drawn.
    """
    try:
        draw(path)
    except InputError as error:  # the numbers are there without it
        path.unlink(missing_ok=True)
        tell(f"no picture: {error}")
        return False
    return True


def save(figure: Figure, path: Path) -> None:
    """Write a PNG under a temporary name, then rename it; no version of matplotlib is in it."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
