"""Labels of tokens say what the pixels say, for any patches, sizes and prefixes, on any device."""

import dataclasses

import numpy as np
import pytest
import torch

from samediff_stimuli import AlignedOptions, make_recipe, tasks
from samediff_stimuli.aligned_options import VARIANTS
from samediff_stimuli.loaders import token_labels
from samediff_stimuli.recipe import InputError
from samediff_stimuli.tokens import object_tokens, patch_coverage

GEOMETRIES = {
    **VARIANTS,
    "p32-i384": AlignedOptions(patch_size=32, image_size=384),
    "p16-i336": AlignedOptions(patch_size=16, image_size=336),
    "p14-i336": AlignedOptions(patch_size=14, image_size=336),
}
COLUMNS = ("label", "pair_id", "relation", "role", "shape", "color", "box")


def batch_of(task, options, rows=6):
    """A batch as a loader gives it, instance maps beside it, without a folder on disk."""
    recipe, task = make_recipe(task, 3, options), tasks.get(task)
    table = task.design(recipe, "test", 0, rows)
    batch = {n: torch.from_numpy(table[n].astype(np.int64)) for n in COLUMNS if n in table}
    batch["image"] = torch.from_numpy(task.render(recipe, "test", table)).permute(0, 3, 1, 2)
    return batch, torch.from_numpy(task.instances(recipe, "test", table))


def divisors(side):
    """The patch sizes of common models that divide an image."""
    return [patch for patch in (14, 16, 32) if side % patch == 0]


@pytest.mark.parametrize("task", ["discrimination", "rmts"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_tokens_of_boxes_are_what_the_pixels_span(task, name):
    """From boxes alone, an object has the patches between its outermost pixels, of every grid."""
    batch, instances = batch_of(task, GEOMETRIES[name])
    n, height, width = instances.shape
    k = batch["box"].shape[1]
    for patch in divisors(height):
        labels = token_labels(batch, patch, 1)
        grid = torch.zeros(n, k, height // patch, width // patch, dtype=torch.bool)
        for image in range(n):
            for thing in range(k):
                y, x = (instances[image] == thing + 1).nonzero().T // patch
                grid[image, thing, y.min() : y.max() + 1, x.min() : x.max() + 1] = True
        assert torch.equal(labels.objects[..., 1:], grid.flatten(2)), patch
        assert torch.equal(labels.background[:, 1:], ~grid.flatten(2).any(dim=1))
        if patch == GEOMETRIES[name].patch_size:  # the paper's positions: whole boxes
            span = int(GEOMETRIES[name].object_patches)
            assert (labels.objects.sum(dim=2) == span**2).all()


@pytest.mark.parametrize("task", ["discrimination", "rmts"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_tokens_of_instances_equal_the_pixels(task, name):
    """From instance maps, tokens and labels are those of the pixels in each patch, exactly."""
    batch, instances = batch_of(task, GEOMETRIES[name], rows=4)
    batch["instances"] = instances
    n, side, _ = instances.shape
    k = batch["box"].shape[1]
    for patch in divisors(side):
        for n_prefix in (0, 1, 5):
            labels = token_labels(batch, patch, n_prefix)
            lists = object_tokens(patch_coverage(instances.numpy(), patch, k), n_prefix)
            tiles = instances.unfold(1, patch, patch).unfold(2, patch, patch)
            tiles = tiles.reshape(n, -1, patch**2).long()
            pixels = torch.stack([(tiles == thing + 1).sum(dim=-1) for thing in range(k)])
            inked = pixels.amax(dim=0) > 0
            owner = torch.where(inked, pixels.argmax(dim=0), -100)
            assert torch.equal(labels.owner[:, n_prefix:], owner)
            assert torch.equal(labels.background[:, n_prefix:], ~inked)
            assert not labels.background[:, :n_prefix].any()
            assert not labels.objects[..., :n_prefix].any()
            for image, thing in np.ndindex(n, k):
                found = labels.objects[image, thing].nonzero().flatten().tolist()
                assert found == lists[image][thing].tolist()
            for column in ("shape", "color", "role", "relation"):
                if column in batch:
                    each = batch[column].reshape(n, -1)
                    each = each.repeat_interleave(k // each.shape[1], dim=1)  # by object
                    wanted = torch.where(inked, each.gather(1, owner.clamp_min(0)), -100)
                    assert torch.equal(labels.values[column][:, n_prefix:], wanted), column
                    assert (labels.values[column][:, :n_prefix] == -100).all()


@pytest.mark.parametrize("task", ["shapes", "squiggles", "dissociation"])
def test_unaligned_sets_have_labels_by_coverage(task):
    """Where objects stand anywhere, the object that covers most of a patch owns its token."""
    batch, batch_instances = batch_of(task, tasks.get(task).options(), rows=12)
    batch["instances"] = batch_instances
    labels = token_labels(batch, 16, 1, columns=("pair_id",))
    coverage = patch_coverage(batch["instances"].numpy(), 16, 2)
    owner = np.where(coverage.any(axis=1), coverage.argmax(axis=1), -100)
    assert np.array_equal(labels.owner[:, 1:].numpy(), owner)
    taken = labels.owner != -100
    assert torch.equal(
        labels.values["pair_id"],
        torch.where(taken, batch["pair_id"][:, None].expand_as(taken), -100),
    )
    half = token_labels(batch, 16, 1, columns=(), at_least=0.5)
    assert np.array_equal(half.objects[..., 1:].numpy(), coverage >= 0.5)
    assert torch.equal(half.background, labels.background)
    assert (half.owner != -100).sum() < taken.sum()


def test_labels_are_targets_of_a_cross_entropy():
    """Labels with torch's default ignore_index give the loss over object tokens alone."""
    batch, _ = batch_of("rmts", AlignedOptions(patch_size=16), rows=8)
    labels = token_labels(batch, 16, 1)
    target = labels.values["shape"]
    logits = torch.randn(*target.shape, 20, dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
    kept = target != -100
    assert int(kept.sum()) == 8 * 4 * 4
    by_hand = -logits.log_softmax(-1)[kept].gather(1, target[kept][:, None]).mean()
    assert torch.allclose(loss, by_hand)
    other = token_labels(batch, 16, 1, ignore_index=-1)
    assert torch.equal(other.values["shape"], target.where(kept, torch.tensor(-1)))


def test_labels_stay_on_the_batch_device():
    """Every tensor is made where the batch is: no operation mixes devices or waits for values."""
    batch, instances = batch_of("rmts", AlignedOptions(patch_size=16), rows=4)
    for source in (batch, {**batch, "instances": instances}):
        there = {name: values.to("meta") for name, values in source.items()}
        labels = token_labels(there, 16, 1)
        for field in dataclasses.fields(labels):
            value = getattr(labels, field.name)
            for tensor in [value] if isinstance(value, torch.Tensor) else []:
                assert tensor.device.type == "meta", field.name
        assert {v.device.type for v in labels.values.values()} == {"meta"}


def test_patches_of_an_object_are_counted_without_prefix():
    """The patches of one object of each image are its box's, row by row, whatever the prefix."""
    batch, _ = batch_of("rmts", AlignedOptions(patch_size=16), rows=8)
    display = torch.tensor([0, 1] * 4)
    for n_prefix in (0, 1, 5):
        found = token_labels(batch, 16, n_prefix).patches_of(display)
        assert found.tolist() == [[0, 1, 14, 15], [2, 3, 16, 17]] * 4


def test_labels_refuse_what_cannot_be():
    """Batches that do not tell where objects are, and wrong arguments, are refused in a line."""
    batch, instances = batch_of("discrimination", AlignedOptions(), rows=4)
    empty = {**batch, "instances": torch.zeros_like(instances)}
    uneven = {**batch, "instances": instances.clone()}
    uneven["instances"][0] = 1
    cases = [
        (lambda: token_labels({"image": batch["image"]}, 32), "does not tell where objects are"),
        (lambda: token_labels({"box": batch["box"]}, 32), "does not tell where objects are"),
        (lambda: token_labels(batch, 15), "patch size 15 does not divide an image of 224 x 224"),
        (lambda: token_labels(batch, 0), "patch size 0 does not divide"),
        (lambda: token_labels(batch, 32, ignore_index=3), "ignore_index 3 is a label"),
        (lambda: token_labels(batch, 32, columns=("box",)), r"column 'box' is \(4, 2, 4\)"),
        (lambda: token_labels(empty, 32).patches_of(torch.zeros(4).long()), r"have 0 \.\. 0"),
        (lambda: token_labels(uneven, 32).patches_of(torch.zeros(4).long()), r"have 1 \.\. 49"),
    ]
    for call, message in cases:
        with pytest.raises(InputError, match=message):
            call()
