"""Commands that train the small baselines: on one dataset, or on each of several."""

from __future__ import annotations

from pathlib import Path

import click

from samediff_stimuli.recipe import InputError

_folder = click.Path(path_type=Path)
_epochs = click.option(
    "--epochs", type=click.IntRange(1), help="Passes over train; default 12. Not of factor sets."
)
_batch_size = click.option(
    "--batch-size", type=click.IntRange(2), default=64, show_default=True, help="Images in a step."
)
_lr = click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    default=1e-3,
    show_default=True,
    help="Peak learning rate.",
)
_device = click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or mps."
)


def beside(folder: Path, what: str) -> Path:
    """A path beside a folder, named after it; the folder may be "."."""
    whole = folder.resolve()
    return (folder if folder.name else whole).with_name(f"{whole.name}-{what}")


@click.command("train")
@click.argument("folder", type=_folder)
@click.option("--out", type=_folder, help="Run folder; default FOLDER-run.")
@_epochs
@_batch_size
@_lr
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True)
@click.option("--steps", type=click.IntRange(1), help="Batches to train on; of factor sets: 3000.")
@click.option("--variant", "variants", multiple=True, help="Of factor sets: only this partition.")
@_device
@click.option("--overwrite", is_flag=True, help="Replace a finished run in the run folder.")
def train_command(
    folder: Path,
    out: Path | None,
    epochs: int | None,
    batch_size: int,
    lr: float,
    seed: int,
    steps: int | None,
    variants: tuple[str, ...],
    device: str,
    overwrite: bool,
) -> None:
    """Train a small model on a dataset, and test it on every split.

    Objects on the patch grid are compared by a patch-relation model, pairs of objects anywhere by
    one that finds the two first. On a grid of factors, such as dsprites, the network of Schott et
    al. 2021 learns every factor, on train of each partition, and is tested on its test split: R2 of
    every factor. Writes logs, checkpoints and results to the run folder.

    \b
    samediff-stimuli train rmts-p32-seed0
    """
    from samediff_stimuli import tasks
    from samediff_stimuli.manifest import load
    from samediff_stimuli.models.train import TrainConfig, train

    out = beside(folder, "run") if out is None else out
    if (out / "result.json").exists() and not overwrite:
        raise InputError(f"--out {out} holds a finished run; give another folder, or --overwrite")
    recipe = load(folder).recipe
    is_grid = tasks.get(recipe.task).space(recipe) is not None
    named = {"epochs": epochs} if is_grid else {"steps": steps, "variant": variants or None}
    for name, value in named.items():
        if value is not None:
            what = "is a grid of factors" if is_grid else "is no grid of factors"
            raise InputError(f"--{name} {value} is not for {folder}, which {what}; leave it out")
    if is_grid:
        from samediff_stimuli.models.factor_cnn import FactorTrainConfig
        from samediff_stimuli.models.factor_report import markdown
        from samediff_stimuli.models.factor_runs import train_partitions

        own = FactorTrainConfig(
            steps=steps or 3000, batch_size=batch_size, lr=lr, seed=seed, device=device
        )
        found = train_partitions(
            folder, out, own, lambda line: click.echo(line, err=True), variants
        )
        click.echo(markdown(found), nl=False)
        click.echo(f"{out}: result.json, result.md, result.png, a folder each", err=True)
        return
    config = TrainConfig(
        epochs=epochs or 12, batch_size=batch_size, lr=lr, seed=seed, device=device
    )
    result = train(folder, out, config, lambda line: click.echo(line, err=True))
    for split, accuracy in result.accuracy.items():
        click.echo(f"{split:<18} {accuracy:.4f}")
    click.echo(f"{out}: log.jsonl, checkpoint.pt, result.json", err=True)


@click.command("matrix")
@click.argument("folders", metavar="DIR...", type=_folder, nargs=-1, required=True)
@click.option("--out", type=_folder, default=Path("matrix-run"), show_default=True, help="Folder.")
@click.option(
    "--images",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Rows of each train split to use, from the first.",
)
@click.option(
    "--test-images",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Rows of each validation and test split to use, from the first.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Models trained on each set; results are their medians.",
)
@click.option(
    "--epochs", type=click.IntRange(1), default=4, show_default=True, help="Passes over train."
)
@_batch_size
@_lr
@_device
def matrix_command(
    folders: tuple[Path, ...],
    out: Path,
    images: int,
    test_images: int,
    seeds: int,
    epochs: int,
    batch_size: int,
    lr: float,
    device: str,
) -> None:
    """Train a small model on each dataset in turn, and test each model on all of them.

    The sets show pairs of objects, in images of one size. Those with train and validation splits
    and labels different and same are trained on; where a set has other labels, such as
    dissociation, the table gives the share of "same" answers by label. The tables go to stdout;
    matrix.json, matrix.md and the checkpoints to the run folder. When the same command is run
    again, finished models are not trained again.

    \b
    samediff-stimuli matrix squiggles-seed0 alphanumerics-seed0 shapes-seed0 dissociation-seed0
    """
    from samediff_stimuli.models.matrix import matrix
    from samediff_stimuli.models.train import TrainConfig

    config = TrainConfig(epochs=epochs, batch_size=batch_size, lr=lr, device=device)
    result = matrix(
        folders,
        out,
        config,
        images=images,
        test_images=test_images,
        seeds=seeds,
        tell=lambda line: click.echo(line, err=True),
    )
    click.echo(result.markdown(), nl=False)
    click.echo(f"{out}: matrix.json, matrix.md, models/", err=True)
