"""How large a gallery of 20,000 stimuli is, and how soon it shows itself.

`python -m tests.benchmarks.gallery` needs Chromium and its driver, as the tests marked `browser`
do. The seconds until the first cards are painted are the browser's own, from the start of the
navigation; medians of some rounds.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click

from samediff_stimuli import AlignedOptions, generate, make_recipe
from samediff_stimuli.cards.gallery_page import write_gallery
from samediff_stimuli.engine import available_workers
from tests.benchmarks.page import show_page
from tests.browser import Page, started
from tests.cards.test_serving import serving

SIZES = AlignedOptions(train=8000, validation=3000, test=3000, ood=2000)  # 20,000 in all
LIMIT_MB, LIMIT_SECONDS = 30, 2
ROUNDS = 5
_MARK = "return performance.getEntriesByName('first-cards')[0]?.startTime"
_PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def opened(address: str) -> tuple[float, float]:
    """Seconds until anything, and until the first cards are painted, in a fresh browser."""
    with started() as browser:
        page = Page(browser, address)
        page.until(_MARK)
        return page.run(_PAINT) / 1000, page.run(_MARK) / 1000


def filtered(address: str) -> float:
    """Seconds from a choice of label until its first stimuli are painted."""
    with started() as browser:
        page = Page(browser, address)
        began = time.perf_counter()
        page.choose("[id^=class-]", "same")
        return time.perf_counter() - began


def rounds(address: str, what: str) -> list[list[str]]:
    """Lines of the table for an address."""
    found = [opened(address) for _ in range(ROUNDS)]
    paint, cards = (statistics.median(each) for each in zip(*found, strict=True))
    worst = max(seconds for _, seconds in found)
    bound = f"to be under {LIMIT_SECONDS} s"
    return [
        [f"{what}: first paint", f"{paint:.2f} s", "", ""],
        [f"{what}: first 60 cards painted", f"{cards:.2f} s, at worst {worst:.2f} s", bound, ""],
        [f"{what}: a filter chosen, painted", f"{filtered(address):.2f} s", "", ""],
    ]


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@click.command()
@click.option("--folder", type=click.Path(path_type=Path), help="Where the set is, or is to be.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the page there as well.")
def main(folder: Path | None, out: Path | None) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = folder or Path(temporary) / "rmts"
        made = generate(make_recipe("rmts", 0, SIZES), folder, parquet=False)
        page = Path(temporary) / "gallery.html"
        taken = seconds(lambda: write_gallery(folder, made, page, 20_000))
        size = page.stat().st_size / 1e6
        table = [
            ["gallery of 20,000 rmts stimuli, written", f"{taken:.1f} s", "", ""],
            ["its size", f"{size:.1f} MB", f"to be under {LIMIT_MB} MB", ""],
            *rounds(page.as_uri(), "from the file"),
        ]
        with serving(folder) as port:
            table += rounds(f"http://127.0.0.1:{port}/", "served")
    about = (
        f"`python -m tests.benchmarks.gallery` on {platform.machine()}, {available_workers()} "
        f"processors, Python {platform.python_version()}. Medians of {ROUNDS} fresh browsers."
    )
    show_page("The gallery", about, table, out)


if __name__ == "__main__":
    main()
