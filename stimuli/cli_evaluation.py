"""Commands that ask how datasets are answered: by any model, and by what cannot compare objects."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from samediff_stimuli import cli_report
from samediff_stimuli.recipe import InputError

if TYPE_CHECKING:
    from samediff_stimuli.models.answerers import NamedAnswerer
    from samediff_stimuli.models.evaluation import Report
    from samediff_stimuli.models.shortcuts import ShortcutReport

_folder = click.Path(path_type=Path)


@click.command("evaluate")
@click.argument("what")
@click.argument("folders", metavar="DIR...", type=_folder, nargs=-1, required=True)
@click.option("--split", "splits", multiple=True, help="Only this split; give it again for more.")
@click.option("--out", type=_folder, help="Folder for evaluation.json, evaluation.md, trials.csv.")
@cli_report.device_option
@click.option(
    "--batch-size", type=click.IntRange(1), default=256, show_default=True, help="Images at once."
)
@click.option("--weights", type=_folder, help="Of timm:NAME: a local file of its weights.")
@click.option("--untrained", is_flag=True, help="Of timm:NAME: random weights, as a control.")
@click.option(
    "--fit-rows",
    type=click.IntRange(1),
    help="Of timm:NAME: rows of train that its readout is fitted on; default 2000.",
)
def evaluate_command(
    what: str,
    folders: tuple[Path, ...],
    splits: tuple[str, ...],
    out: Path | None,
    device: str,
    batch_size: int,
    **of_timm: Any,
) -> None:
    """Ask WHAT about every stimulus of some datasets: accuracy, balanced accuracy, ROC AUC.

    WHAT is one of three:

    \b
    RUN or RUN/checkpoint.pt   a model that train wrote
    package.module:function    yours: uint8 images (n, c, height, width) to scores (n, 2), same
                               last, or to n class numbers. Importing it runs your code.
    timm:NAME[.TAG]            a network of timm's, frozen, with a linear readout that is fitted
                               on train of the first DIR and chosen by its validation split

    Tables go to stdout, with 95 % intervals, by label, kind of relation and case. With --out they
    are kept (an older evaluation there is replaced), and so is every answer: trials.csv has a line
    for each stimulus, for people's answers to be laid beside.

    \b
    samediff-stimuli evaluate rmts-p32-seed0-run rmts-p32-seed0
    samediff-stimuli evaluate mymodel:answer squiggles-seed0 shapes-seed0 --split test --out told
    samediff-stimuli evaluate timm:vit_base_patch16_224.dino rmts-p32-seed0 --split test
    """
    from samediff_stimuli.manifest import load
    from samediff_stimuli.models.answerers import FIT_ROWS, answerer
    from samediff_stimuli.models.evaluation import choose, evaluate
    from samediff_stimuli.models.run_folder import check_run_folder

    if out is not None:
        check_run_folder(out)
    timm = what.startswith("timm:")
    choose(folders, splits or None, skip=[(load(folders[0]).digest(), "train")] if timm else ())
    with contextlib.ExitStack() as stack:
        if timm:
            fitting = (of_timm["fit_rows"] or FIT_ROWS) * 5 // 4
            bar = cli_report.progress(fitting, f"fitting a readout of {what}")
            of_timm["on_rows"] = stack.enter_context(bar)
        found = answerer(what, folders, device=device, batch_size=batch_size, **of_timm)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    for line in filter(None, [found.note, *found.warnings(folders)]):
        click.echo(line, err=True)
    chosen = choose(folders, splits or None, skip=found.fitted)
    total = sum(_sizes(folder).get(split, 0) for folder, split in chosen)
    with cli_report.progress(total, f"asking {what}") as on_rows:
        report = evaluate(
            found.answer,
            folders,
            splits or None,
            model=found.name,
            batch_size=batch_size,
            device=found.device,
            answers=found.answers,
            skip=found.fitted,
            tell=lambda line: click.echo(line, err=True),
            on_rows=on_rows,
        )
    click.echo(aligned(report.markdown()), nl=False)
    if out is not None:
        _write(out, found, report)
        click.echo(f"{out}: evaluation.json, evaluation.md, trials.csv", err=True)


def _write(out: Path, found: NamedAnswerer, report: Report) -> None:
    """Write tables and trials, each whole or not at all."""
    from samediff_stimuli.manifest import write_atomically
    from samediff_stimuli.models.trials import trial_table

    trained = {"trained_on": found.dataset, "trained_on_digest": found.digest, "note": found.note}
    figures = json.dumps({**trained, **report.as_dict()}, indent=1)
    write_atomically(out / "evaluation.json", figures + "\n")
    write_atomically(out / "evaluation.md", report.markdown())
    trial_table(report.predictions, out / "trials.csv")


@click.command("audit")
@click.argument("folder", type=_folder)
@click.option("--shortcuts/--no-shortcuts", default=True, help="Fit shortcut baselines as well.")
@click.option(
    "--rows",
    type=click.IntRange(16),
    default=2000,
    show_default=True,
    help="Stimuli of each split that these look at.",
)
@click.option("--json", "out", type=_folder, help="File for every figure.")
def audit_command(folder: Path, shortcuts: bool, rows: int, out: Path | None) -> None:
    """Look at every image of a dataset: what repeats, and what tells the label without comparing.

    Ink, luminance, the box around all ink, its centroid and the distance between objects should
    say nothing of the label. Shortcut baselines are linear readouts of what an observer sees that
    cannot compare objects: pixels, colours, ink, places, one object alone, the size of the file.
    Each has a bound: how far theory says that it can get, and four standard errors.

    Exit code 1, and a line for each, if an image occurs twice, a statistic tells the label, or a
    baseline is beyond its bound.

    \b
    samediff-stimuli audit rmts-p32-seed0
    """
    import dataclasses

    from samediff_stimuli.cards.audit import audit
    from samediff_stimuli.manifest import load, write_atomically

    if out is not None:
        cli_report.check_file("--json", out)
    total = sum(shard.rows for shard in load(folder).shards)
    with cli_report.progress(total, f"looking at {folder}") as on_rows:
        found = audit(folder, on_rows)
    read, why_not = _shortcuts(folder, rows) if shortcuts else (None, "--no-shortcuts")
    if out is not None:
        repeats = [[*pair, count] for pair, count in found.repeats.items()]
        figures = dataclasses.asdict(dataclasses.replace(found, repeats={})) | {"repeats": repeats}
        figures |= {"shortcuts": read.as_dict() if read else None, "no_shortcuts": why_not}
        write_atomically(out, json.dumps(figures, indent=1) + "\n")
    click.echo(aligned(found.markdown()))
    if read:
        click.echo("\n" + aligned(read.markdown()), nl=False)
    elif shortcuts:
        click.echo(f"\nShortcut baselines were not run: {why_not}.")
    problems = found.problems() + (read.problems() if read else [])
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if problems:
        sys.exit(1)


def _shortcuts(folder: Path, rows: int) -> tuple[ShortcutReport | None, str | None]:
    """Shortcut baselines of a dataset, or why there are none."""
    from samediff_stimuli.models.shortcuts import shortcuts

    total = sum(min(rows, size) for size in _sizes(folder).values())
    try:
        with cli_report.progress(total, "fitting shortcut baselines") as on_rows:
            return shortcuts(folder, rows=rows, on_rows=on_rows), None
    except InputError as error:
        return None, str(error)


def _sizes(folder: Path) -> dict[str, int]:
    """How many stimuli each split of a dataset has."""
    from samediff_stimuli.manifest import load

    sizes: dict[str, int] = {}
    for shard in load(folder).shards:
        sizes[shard.split] = sizes.get(shard.split, 0) + shard.rows
    return sizes


def aligned(text: str) -> str:
    """Markdown with the columns of its tables padded, so that they line up in a terminal."""
    lines: list[str] = []
    for is_table, part in itertools.groupby(text.split("\n"), lambda line: line.startswith("| ")):
        if not is_table:
            lines += part
            continue
        rows = [line[2:-2].split(" | ") for line in part]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            fill = "-" if set(row) == {"---"} else " "
            cells = (cell.ljust(width, fill) for cell, width in zip(row, widths, strict=True))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
