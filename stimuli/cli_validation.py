"""The command that decides whether a dataset may be released."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from samediff_stimuli import cli_report
from samediff_stimuli.cli_models import beside

_folder = click.Path(path_type=Path)


@click.command("validate")
@click.argument("folder", type=_folder)
@click.option("--recipe", default="quick", show_default=True, help="Name of a training recipe.")
@click.option("--run", "runs", multiple=True, help="One run of it; give it again for more.")
@click.option("--weights", help="Local file of published weights, for the one run chosen.")
@cli_report.device_option
@click.option("--out", type=_folder, help="Folder for what is trained; default FOLDER-validation.")
def validate_command(
    folder: Path,
    recipe: str,
    runs: tuple[str, ...],
    weights: str | None,
    device: str,
    out: Path | None,
) -> None:
    """Check a dataset, train a recipe on it, and judge both against stated bounds.

    Hashes and rows are verified, every image is audited, shortcut baselines are fitted; then the
    recipe is trained, and the best checkpoint tested on every split. The report goes to
    validation.json, validation.png and the card of the folder. An interrupted validation goes on
    where it stopped when the same command is run again. Exit code 1, and a line for each bound
    that is not kept, if any.

    \b
    quick           the small model that suits the set: minutes on a CPU
    lepori2024      ViTs on discrimination and rmts; needs a GPU
    tartaglini2023  ViT-B/16 and ResNet-50 on pairs of objects; needs a GPU
    schott2021      the benchmark's network on a grid of factors
    checks          nothing is trained

    \b
    samediff-stimuli validate rmts-p32-seed0 --recipe quick
    samediff-stimuli validate rmts-p32-seed0 --recipe lepori2024 --device cuda
    """
    from samediff_stimuli.models.validation import validate
    from samediff_stimuli.shards import DamagedError

    try:
        found = validate(
            folder,
            recipe,
            beside(folder, "validation") if out is None else out,
            runs=runs,
            device=device,
            weights=weights,
            tell=lambda line: click.echo(line, err=True),
            progress=cli_report.progress,
        )
    except DamagedError as error:
        click.echo(f"Error: {error}; see 'samediff-stimuli verify'", err=True)
        sys.exit(1)
    click.echo(found.markdown(), nl=False)
    if found.attached:
        click.echo(f"{folder}: validation.json, and the card's part on it", err=True)
    for problem in found.problems():
        click.echo(f"Error: {problem}" if not problem.startswith(" ") else problem, err=True)
    if found.problems():
        sys.exit(1)
