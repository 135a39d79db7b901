"""What is to be evaluated, by a word: a checkpoint, anybody's function, or a network of timm's."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from samediff_stimuli import tasks
from samediff_stimuli.manifest import Manifest, load
from samediff_stimuli.models import backbones, checkpoints
from samediff_stimuli.models.predictions import Answerer
from samediff_stimuli.models.probes import TRAIN, Probe
from samediff_stimuli.models.train_config import pick_device
from samediff_stimuli.recipe import InputError

FIT_ROWS = 2000
_KINDS = (
    "legal: a checkpoint.pt or its run folder, package.module:function, or "
    f"{backbones.TIMM}NAME[.TAG]"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedAnswerer:
    """What answers, and what is known of it.

    Attributes:
        name: that its answers go by.
        answer: see `predictions.predict`.
        device: where it wants the images.
        answers: names of its answers; None where `predict` is to tell by their number.
        dataset: name of the set that it was trained or fitted on, where known.
        digest: content digest of that set, hex, where known.
        fitted: (content digest, split) that are no test of it.
        note: what people should know of it, in a sentence, or empty.
    """

    name: str
    answer: Answerer
    device: torch.device
    answers: tuple[str, ...] | None = None
    dataset: str | None = None
    digest: str | None = None
    fitted: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def warnings(self, folders: Sequence[Path | str]) -> list[str]:
        """A line for each dataset that has the name of the one trained on, and other content."""
        manifests = [load(Path(folder)) for folder in folders]
        return [
            f"{self.name} was trained on {self.dataset} of digest {str(self.digest)[:12]}, and is "
            f"tested on one of digest {manifest.digest()[:12]}"
            for manifest in manifests
            if manifest.name == self.dataset and manifest.digest() != self.digest
        ]


def answerer(
    what: str,
    folders: Sequence[Path | str],
    *,
    device: str = "auto",
    batch_size: int = 256,
    weights: str | Path | None = None,
    untrained: bool = False,
    fit_rows: int | None = None,
    seed: int = 0,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> NamedAnswerer:
    """The answerer that a word means, ready to be asked.

    Args:
        what: a checkpoint file or the run folder that holds it; "package.module:function", which is
            imported, from the current folder too; or "timm:NAME[.TAG]", that network frozen, with
            a linear readout fitted on train of the first folder.
        folders: dataset folders that it will be asked about.
        device: "auto", "cpu", "cuda" or "mps"; a function is given images on the CPU if "auto".
        batch_size: images in a batch.
        weights: of "timm:", a local file of them.
        untrained: of "timm:", whether to leave weights random.
        fit_rows: of "timm:", rows of train to fit on, 2,000 when None.
        seed: of random weights and of the choice of rows.
        on_rows: told the number of images of each batch that is embedded for the readout.

    Raises:
        InputError: whatever is wrong with them, in a line.
    """
    where = pick_device(device)
    if what.startswith(backbones.TIMM):
        if weights is not None and untrained:
            raise InputError(f"untrained leaves weights {str(weights)!r} out; give one of the two")
        body = _timm_body(what, folders, weights, untrained, seed).to(where)
        name = f"{what} (untrained)" if untrained else what
        rows = FIT_ROWS if fit_rows is None else fit_rows
        read = Probe(body, where, batch_size, on_rows).fit(Path(folders[0]), rows, seed)
        return NamedAnswerer(
            name=name,
            answer=_guarded(read.answer, name),
            device=where,
            answers=read.labels,
            dataset=read.dataset,
            digest=read.digest,
            fitted=((read.digest, TRAIN),),
            note=read.note,
        )
    for option, value in (("weights", weights), ("untrained", untrained), ("fit_rows", fit_rows)):
        if value not in (None, False):
            raise InputError(
                f"{option.replace('_', '-')} is for {backbones.TIMM}NAME, not {what}; leave it out"
            )
    path = Path(what)
    if path.exists() or (":" not in what and path.suffix):
        return _from_checkpoint(path, folders, where)
    if ":" not in what:
        raise InputError(f"{what!r} is nothing that answers; {_KINDS}")
    found = imported(what)
    if isinstance(found, nn.Module):
        found.to(where).eval()
    else:
        where = where if device != "auto" else torch.device("cpu")
    return NamedAnswerer(name=what, answer=_guarded(found, what), device=where)


def _from_checkpoint(
    path: Path, folders: Sequence[Path | str], device: torch.device
) -> NamedAnswerer:
    """The model of a checkpoint, or of the run folder that holds it.

    Raises:
        InputError: no checkpoint, or one for images of another size.
    """
    path = checkpoints.path_of(path)
    found = checkpoints.load(path)
    side = found.architecture.arguments.get("image_size")
    for folder in folders:
        shape = _shape(load(Path(folder)))
        if side is not None and shape != (side, side, 3):
            raise InputError(
                f"{path} is for images of {side} x {side}, and those of {folder} are "
                f"{shape[0]} x {shape[1]}; make that set with --image-size {side}"
            )
    return NamedAnswerer(
        name=checkpoints.name_of(path),
        answer=_guarded(found.model.to(device), str(path)),
        device=device,
        dataset=found.dataset,
        digest=found.digest,
        note=f"{found.architecture.kind}, trained on {found.dataset} of digest {found.digest[:12]}",
    )


def imported(what: str) -> Callable[[Tensor], Any]:
    """The callable that "package.module:function" names; the current folder is looked in first.

    Raises:
        InputError: no such module or name, a module that fails, or nothing that can be called.
    """
    module, _, attribute = what.partition(":")
    names = attribute.split(".")
    if not all(part.isidentifier() for part in (*module.split("."), *names)):
        raise InputError(f"{what!r} is no package.module:function; {_KINDS}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    importlib.invalidate_caches()
    try:
        made = importlib.import_module(module)
    except (Exception, SystemExit) as error:
        name = error.name if isinstance(error, ModuleNotFoundError) else None
        if name and f"{module}.".startswith(f"{name}."):
            raise InputError(
                f"there is no module {name!r} for {what!r}; run the command in the folder "
                "that holds it, or install it; a file name goes without .py"
            ) from None
        raise InputError(f"{module!r} fails when it is imported: {_told(error)}") from error
    try:
        found = reduce(getattr, names, made)
    except AttributeError:
        close = difflib.get_close_matches(attribute, dir(made), n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise InputError(f"module {module!r} has no {attribute!r}{hint}") from None
    if not callable(found) or isinstance(found, type):
        raise InputError(
            f"{what} is {'a class' if isinstance(found, type) else type(found).__name__}; give a "
            "function of (n, c, height, width) uint8 images, or a module that is ready"
        )
    answer: Callable[[Tensor], Any] = found
    return answer


def _guarded(call: Callable[[Tensor], Any], what: str) -> Answerer:
    """The same, with whatever it raises in a line."""

    def answer(images: Tensor) -> Any:
        try:
            return call(images)
        except (InputError, MemoryError):
            raise
        except Exception as error:  # anybody's code
            shape = f"{tuple(images.shape)} uint8"
            raise InputError(f"{what} fails on images {shape}: {_told(error)}") from error

    return answer


def _told(error: BaseException) -> str:
    """An exception in a line: kind, first line of what it says, and where it was raised."""
    said = str(error).strip().splitlines()
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {said[0][:200] if said else 'nothing said'}{where}"


def _timm_body(
    what: str,
    folders: Sequence[Path | str],
    weights: str | Path | None,
    untrained: bool,
    seed: int,
) -> nn.Module:
    """A network of timm's, frozen, from images to features.

    Raises:
        InputError: images that are not square, of three channels and of one size, or what
            `backbones.from_timm` refuses.
    """
    shapes = {str(folder): _shape(load(Path(folder))) for folder in folders}
    side = next(iter(shapes.values()))[0]
    for folder, (height, width, channels) in shapes.items():
        if (height, width, channels) != (side, side, 3):
            raise InputError(
                f"{folder} has images of {height} x {width} x {channels}; {what} is read out of "
                f"square ones of 3 channels and one size, here {side} x {side}"
            )
    body = backbones.from_timm(
        what, pretrained=not untrained, weights=weights, image_size=side, seed=seed, probe=True
    )
    body.add_module("head", nn.Identity())
    return body.eval()


def _shape(manifest: Manifest) -> tuple[int, int, int]:
    """Height, width and channels of a set's images."""
    return tasks.get(manifest.recipe.task).image_shape(manifest.recipe)
