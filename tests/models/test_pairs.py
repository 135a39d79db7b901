"""PairNet finds two objects anywhere, sees the same pixels as the same, and learns."""

import numpy as np
import pytest
import torch

from samediff_stimuli import InputError, generate, make_recipe, render, tasks
from samediff_stimuli.aligned_options import AlignedOptions
from samediff_stimuli.models import checkpoints
from samediff_stimuli.models.pairs import PairNet, find, windows
from samediff_stimuli.models.train import TrainConfig, train
from samediff_stimuli.models.zoo import ANSWERS, label_names, window_of
from samediff_stimuli.placed_options import PlacedOptions
from samediff_stimuli.tasks.transfer import TransferOptions


def image(*objects, height=224, width=224):
    """(1, 3, height, width) uint8: white, with (x, y, pixels) drawn on it, pixels (3, h, w)."""
    canvas = torch.full((1, 3, height, width), 255, dtype=torch.uint8)
    for x, y, pixels in objects:
        h, w = pixels.shape[-2:]
        canvas[0, :, y : y + h, x : x + w] = pixels
    return canvas


def square(side, value=0):
    return torch.full((3, side, side), value, dtype=torch.uint8)


PLACES = [
    ((0, 0), (160, 160)),
    ((0, 160), (160, 0)),
    ((20, 30), (85, 30)),  # a pixel apart
    ((20, 30), (84, 94)),  # corner to corner
    ((20, 30), (50, 95)),
    ((100, 7), (113, 159)),
]


@pytest.mark.parametrize(("one", "other"), PLACES)
def test_centres_are_found(one, other):
    """Both squares' centres are found to the pixel: far, close, and at the border."""
    _, centres = find(image((*one, square(64)), (*other, square(64))))
    wanted = sorted([x + 32, y + 32] for x, y in (one, other))
    assert np.abs(np.array(sorted(centres[0].tolist())) - wanted).max() <= 1


def test_touching_and_unequal_objects():
    """Objects that touch are parted nearly where they meet; a small one is not lost."""
    _, centres = find(image((40, 60, square(64)), (104, 60, square(64))))
    assert np.abs(centres[0].numpy() - [[72, 92], [136, 92]]).max() <= 2
    _, centres = find(image((10, 20, square(64)), (150, 170, square(24))))
    assert np.abs(centres[0].numpy() - [[42, 52], [162, 182]]).max() <= 1


def test_instances_are_parted():
    """On every set of pairs, each half holds one object whole, in nearly all images."""
    for name, split in (("squiggles", "test"), ("alphanumerics", "test"), ("shapes", "test")):
        recipe = make_recipe(name, 0)
        scenes = tasks.design(recipe, split, slice(0, 64))
        images = torch.from_numpy(tasks.get(name).render(recipe, split, scenes)).permute(0, 3, 1, 2)
        maps = tasks.get(name).instances(recipe, split, scenes)
        whole = 0
        for one, boxes in zip(maps, find(images)[0].tolist(), strict=True):
            seen = [set(np.unique(one[y0:y1, x0:x1])) - {0} for x0, y0, x1, y1 in boxes]
            whole += sorted(map(sorted, seen)) == [[1], [2]]
        assert whole >= 62, name


@pytest.mark.parametrize("side", [72, 96])
def test_same_pixels_same_window(side):
    """An object's window does not depend on where it stands, what the other is, or the border."""
    recipe = make_recipe("squiggles", 0)
    scene = tasks.design(recipe, "train", [0]).row(0)
    x0, y0, x1, y1 = scene["box"][0]
    pixels = torch.from_numpy(render(recipe, "train", [0])[0, y0:y1, x0:x1]).permute(2, 0, 1)
    first = image((0, 0, pixels), (160, 160, pixels))
    second = image((90, 3, pixels), (93, 150, square(60, 9)))
    third = image((160, 100, pixels), (90, 110, square(50, 9)))
    one, other = windows(first, side)[0]
    assert torch.equal(one, other)
    assert one.sum() == pytest.approx((1 - pixels / 255).sum())  # whole, and nothing else
    assert torch.equal(one, windows(second, side)[0, 0])
    assert torch.equal(one, windows(third, side)[0, 1])
    model = PairNet(window=side).eval()
    assert torch.equal(*model.encoder(torch.stack([one, other])).split(1))


def test_no_two_objects():
    """A blank image, one object, noise, a tiny and a long image: an answer without complaint."""
    noise = torch.randint(0, 256, (1, 3, 224, 224), generator=torch.Generator().manual_seed(0))
    model = PairNet(window=72).eval()
    for images in (image(), image((50, 60, square(64))), noise.to(torch.uint8)):
        assert torch.isfinite(model(images)).all()
    for height, width in ((8, 8), (40, 300)):
        small = image((0, 0, square(3)), (5, 5, square(3)), height=height, width=width)
        assert torch.isfinite(model(small)).all()


def test_every_parameter_learns():
    """All weights get a finite gradient, not all of it zero."""
    model = PairNet(window=72)
    recipe = make_recipe("squiggles", 0)
    images = torch.from_numpy(render(recipe, "train", range(4))).permute(0, 3, 1, 2)
    model(images).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0 or name.endswith("bias"), name


def test_it_learns(tmp_path):
    """Well above chance on objects that were never shown, after seconds of training."""
    options = PlacedOptions(
        train=384, validation=64, test=128, train_objects=96, validation_objects=16, test_objects=32
    )
    generate(make_recipe("squiggles", 0, options), tmp_path / "set", workers=1, parquet=False)
    config = TrainConfig(epochs=4, batch_size=32, warmup=10)
    result = train(tmp_path / "set", tmp_path / "run", config, lambda line: None)
    assert result.accuracy["test"] > 0.8
    found = checkpoints.load(tmp_path / "run" / "checkpoint.pt")
    assert isinstance(found.model, PairNet)
    assert found.architecture.arguments == {"window": 72}


def test_windows_fit_the_dataset():
    """The window is that of the objects, with a margin; sets of more than two are refused."""
    assert window_of(make_recipe("squiggles", 0)) == 72
    assert window_of(make_recipe("transfer", 0, TransferOptions(train=64))) == 108
    assert window_of(make_recipe("discrimination", 0, AlignedOptions())) == 36
    assert label_names(make_recipe("squiggles", 0)) == ANSWERS
    with pytest.raises(InputError, match=r"rmts\S* shows 4 objects; the baseline compares 2"):
        window_of(make_recipe("rmts", 0))
    odd = make_recipe("squiggles", 0, PlacedOptions(items=4, object_size=48))
    with pytest.raises(InputError, match="shows 4 objects"):
        window_of(odd)
