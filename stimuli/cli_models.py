"""Commands that train the small baselines: on one dataset, or on each of several."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from samediff_stimuli.recipe import InputError

if TYPE_CHECKING:
    from samediff_stimuli.models.train import TrainConfig
    from samediff_stimuli.recipe import Recipe

_folder = click.Path(path_type=Path)
_epochs = click.option(
    "--epochs", type=click.IntRange(1), help="Passes over train; default 12. Not of factor sets."
)
_batch_size = click.option(
    "--batch-size", type=click.IntRange(2), help="Images in a step; default 64."
)
_lr = click.option(
    "--lr", type=click.FloatRange(0, min_open=True), help="Peak learning rate; default 0.001."
)
_device = click.option("--device", help="auto (default), cpu, cuda or mps.")


def beside(folder: Path, what: str) -> Path:
    """A path beside a folder, named after it; the folder may be "."."""
    whole = folder.resolve()
    return (folder if folder.name else whole).with_name(f"{whole.name}-{what}")


@click.command("train")
@click.argument("folder", type=_folder)
@click.option("--out", type=_folder, help="Run folder; default FOLDER-run.")
@click.option(
    "--recipe", help="Begin with a recipe's run, e.g. lepori2024/scratch; options change it."
)
@click.option(
    "--model",
    help="small (default), cnn, vit_mini, vit_b16, vit_b32, vit_b14, resnet50 or timm:NAME.",
)
@click.option(
    "--pretrained", help="Initial weights: clip, dinov2, imagenet, dino, mae; or timm of timm:NAME."
)
@click.option("--weights", type=click.Path(), help="File of them; default the Hugging Face Hub.")
@click.option("--probe", is_flag=True, help="Train a linear layer on the frozen network.")
@_epochs
@_batch_size
@click.option("--accumulate", type=click.IntRange(1), help="Parts that a step's batch is taken in.")
@_lr
@click.option("--schedule", help="cosine (default), exponential, plateau or constant.")
@click.option("--patience", type=click.IntRange(1), help="Epochs that plateau bears; default 40.")
@click.option("--warmup", type=click.IntRange(0), help="Steps of warm-up; default 50.")
@click.option(
    "--disentangle", type=click.IntRange(0), help="Layer for the disentanglement loss, e.g. 3."
)
@click.option(
    "--disentangle-control", is_flag=True, default=None, help="Probe for identity instead."
)
@click.option(
    "--pipeline-heads", type=click.IntRange(1), help="Heads for the pipeline loss, e.g. 6."
)
@click.option("--pipeline-form", help="paper (default), or code for the released code's variant.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Default 0.")
@click.option("--steps", type=click.IntRange(1), help="Batches to train on; of factor sets: 3000.")
@click.option("--variant", multiple=True, help="Of factor sets: only this partition.")
@_device
@click.option("--precision", help="32 (default) or bf16.")
@click.option("--compile", is_flag=True, default=None, help="Compile the model: torch.compile.")
@click.option("--tensorboard", is_flag=True, help="Write TensorBoard's events to OUT/tensorboard.")
@click.option("--overwrite", is_flag=True, help="Replace a run in the run folder.")
def train_command(
    folder: Path,
    out: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Train a model on a dataset, and test it on every split.

    The default is small: objects on the patch grid are compared by a patch-relation model, pairs of
    objects anywhere by one that finds the two first; both take minutes on a CPU. On a grid of
    factors, such as dsprites, the network of Schott et al. 2021 learns every factor, on train of
    each partition, and is tested on its test split: R2 of every factor.

    Writes log, checkpoint, learning curve and results to the run folder. When the same command is
    run again after an interruption, it goes on with the epoch where it stopped. The last line
    trains on four GPUs.

    \b
    samediff-stimuli train rmts-p32-seed0
    samediff-stimuli train rmts-p32-seed0 --recipe lepori2024/scratch --epochs 100
    samediff-stimuli train rmts-p32-seed0 --model vit_b32 --pretrained clip --lr 1e-6
    torchrun --nproc-per-node 4 -m samediff_stimuli.cli train rmts-p32-seed0 --model vit_b32
    """
    from samediff_stimuli import tasks
    from samediff_stimuli.manifest import load

    out = beside(folder, "run") if out is None else out
    recipe = load(folder).recipe
    is_grid = tasks.get(recipe.task).space(recipe) is not None
    unset = (None, False, ())  # by identity: 0 is a value
    chosen = {n: v for n, v in given.items() if not any(v is other for other in unset)}
    for name in sorted(chosen.keys() - (_OF_GRIDS if is_grid else given.keys() - _GRIDS_ALONE)):
        what = "is a grid of factors" if is_grid else "is no grid of factors"
        flag = f"--{name.replace('_', '-')} {chosen[name]}"
        raise InputError(f"{flag} is not for {folder}, which {what}; leave it out")
    (_train_factors if is_grid else _train_pairs)(folder, out, overwrite, **chosen)


_GRIDS_ALONE = {"steps", "variant"}
_OF_SPEC = {"name", "pretrained", "weights", "probe"}
_OF_GRIDS = {"batch_size", "lr", "seed", "device", *_GRIDS_ALONE}


def _train_factors(
    folder: Path, out: Path, overwrite: bool, variant: tuple[str, ...] = (), **given: Any
) -> None:
    """Train on the partitions of a grid of factors, and say what came of it."""
    from samediff_stimuli.models.factor_cnn import FactorTrainConfig
    from samediff_stimuli.models.factor_report import markdown
    from samediff_stimuli.models.factor_runs import train_partitions

    config = FactorTrainConfig(**{"steps": 3000, "batch_size": 64, **given})
    found = train_partitions(
        folder,
        out,
        config,
        lambda line: click.echo(line, err=True),
        variant,
        overwrite=overwrite,
    )
    click.echo(markdown(found), nl=False)
    click.echo(f"{out}: result.json, result.md, result.png, a folder each", err=True)


def _train_pairs(
    folder: Path, out: Path, overwrite: bool, tensorboard: bool = False, **given: Any
) -> None:
    """Train on same and different, and say what came of it."""
    from samediff_stimuli.cli_report import progress
    from samediff_stimuli.manifest import load
    from samediff_stimuli.models.train import TrainConfig, train
    from samediff_stimuli.models.zoo import ModelSpec

    manifest = load(folder)
    base = _run_of(given.pop("recipe"), manifest.recipe) if "recipe" in given else TrainConfig()
    if "model" in given:
        given["name"] = given.pop("model")
    own = {name: given.pop(name) for name in _OF_SPEC & given.keys()}
    spec = ModelSpec(**own) if "name" in own else dataclasses.replace(base.model, **own)
    config = dataclasses.replace(base, model=spec, **given)
    rows = sum(shard.rows for shard in manifest.shards if shard.split == "train")
    total = config.epochs * (rows // config.batch_size) * config.batch_size
    quiet = os.environ.get("RANK", "0") != "0"  # one of several processes speaks for all
    bar = (
        contextlib.nullcontext(lambda images: None)
        if quiet
        else progress(total, f"training {spec.name}")
    )
    with bar as on_images:
        result = train(
            folder,
            out,
            config,
            lambda line: click.echo(line, err=True),
            on_images,
            tensorboard=tensorboard,
            overwrite=overwrite,
        )
    if quiet:
        return
    for split, accuracy in result.accuracy.items():
        click.echo(f"{split:<18} {accuracy:.4f}")
    usual = ("log.jsonl", "checkpoint.pt", "curves.png", "result.json")
    click.echo(f"{out}: {', '.join(name for name in usual if (out / name).exists())}", err=True)


def _run_of(name: str, recipe: Recipe) -> TrainConfig:
    """How a run of a training recipe trains; the first of them if none is named."""
    from samediff_stimuli.models.recipes import runs_of

    of, _, run = name.partition("/")
    config = runs_of(of, recipe, (run,) if run else ())
    if not config:
        raise InputError(f"recipe {of!r} trains nothing; choose another")
    return cast("TrainConfig", config[0].config)


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
    **given: Any,
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

    chosen = {name: value for name, value in given.items() if value is not None}
    config = TrainConfig(epochs=epochs, **chosen)
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
