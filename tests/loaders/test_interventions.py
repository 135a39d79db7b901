"""Intervention batches exchange the tokens they name, and are what pyvene takes."""

import pytest
import torch

from samediff_stimuli.loaders import intervention_batch
from samediff_stimuli.models.backbones import from_timm
from samediff_stimuli.models.torchvision_shim import ensure_torchvision
from samediff_stimuli.recipe import InputError

INTO = [[0, 1, 14, 15], [30, 31, 44, 45], [5, 6, 19, 20]]
OUT_OF = [[2, 3, 16, 17], [30, 31, 44, 45], [100, 101, 114, 115]]


def batch(n_prefix=1, **changes):
    """Three pairs of random images, the tokens of 2 x 2 patches to be exchanged."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 3, 224, 224), dtype=torch.uint8, generator=generator)
    given = {
        "base": images[0],
        "source": images[1],
        "base_patches": INTO,
        "source_patches": OUT_OF,
        "labels": {"target": torch.tensor([0, 1, 1])},
    }
    return intervention_batch(n_prefix_tokens=n_prefix, **{**given, **changes})


def by_hand(base, source, n_prefix):
    """The exchange in loops."""
    made = base.clone()
    for image, (into, out_of) in enumerate(zip(INTO, OUT_OF, strict=True)):
        for to, at in zip(into, out_of, strict=True):
            made[image, to + n_prefix] = source[image, at + n_prefix]
    return made


@pytest.mark.parametrize("n_prefix", [0, 1, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_swapped_overwrites_the_named_tokens_alone(n_prefix, dtype):
    """The base's tokens take the source's states in order; all others and the inputs stay."""
    base, source = torch.randn(2, 3, 196 + n_prefix, 8).to(dtype)
    before = base.clone(), source.clone()
    made = batch(n_prefix).swapped(base, source)
    assert made.dtype == dtype
    assert torch.equal(made, by_hand(base, source, n_prefix))
    assert torch.equal(base, before[0])
    assert torch.equal(source, before[1])


def test_patches_may_be_lists_or_tensors():
    """Lists and tensors of patches give the same batch, which moves as one."""
    tensors = batch(base_patches=torch.tensor(INTO).int(), source_patches=torch.tensor(OUT_OF))
    assert torch.equal(tensors.base_tokens, batch().base_tokens)
    assert tensors.base_tokens.dtype == torch.int64
    assert tensors.base_tokens[0].tolist() == [1, 2, 15, 16]
    moved = tensors.to("meta")
    assert {moved.base.device.type, moved.labels["target"].device.type} == {"meta"}


def small_vit():
    """A small ViT of Hugging Face's with random weights."""
    ensure_torchvision()
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=2,
        attn_implementation="eager",
    )
    return ViTForImageClassification(config).eval()


def prepare(images):
    """Images from -1 to 1."""
    return images.float() / 127.5 - 1


def test_a_hook_on_timm_changes_the_named_tokens_and_what_follows():
    """A forward hook with `swapped` on a timm block is that exchange by hand."""
    vit = from_timm("timm:vit_tiny_patch16_224").eval()
    pairs = batch(vit.n_prefix_tokens)
    with torch.no_grad():
        source, base = (  # what blocks 0 .. 9 give
            [tokens for _, tokens in vit.walk(images)][10] for images in (pairs.source, pairs.base)
        )
        states = by_hand(base, source, vit.n_prefix_tokens)
        for block in vit.body.blocks[10:]:
            states = block(states)
        expected = vit.head(vit.body.forward_head(vit.body.norm(states), pre_logits=True))
        block = vit.body.blocks[9]
        with block.register_forward_hook(lambda m, g, x: pairs.swapped(x, source)):
            found = vit(pairs.base)
        assert torch.allclose(found, expected, atol=1e-6)
        assert not torch.allclose(found, vit(pairs.base), atol=1e-6)


@pytest.mark.slow
def test_pyvene_exchanges_what_a_hook_exchanges():
    """pyvene on a Hugging Face ViT, and a forward hook with `swapped`, give the same logits."""
    vit, pairs = small_vit(), batch()
    import pyvene

    layer = [name for name, part in vit.named_modules() if type(part).__name__ == "ViTLayer"][1]
    site = {"component": f"{layer}.output", "unit": "pos"}
    made = pyvene.IntervenableConfig([{**site, "intervention": pyvene.VanillaIntervention()}])
    intervenable = pyvene.IntervenableModel(made, model=vit)
    with torch.no_grad():
        before, after = intervenable(**pairs.pyvene(prepare), output_original_output=True)
        states = vit(prepare(pairs.source), output_hidden_states=True).hidden_states[2]
        block = vit.get_submodule(layer)
        with block.register_forward_hook(lambda m, g, x: pairs.swapped(x, states)):
            hooked = vit(prepare(pairs.base)).logits
        clean = vit(prepare(pairs.base)).logits
    assert torch.allclose(after.logits, hooked, atol=1e-6)
    assert torch.allclose(before.logits, clean, atol=1e-6)
    assert not torch.allclose(hooked, clean, atol=1e-6)


@pytest.mark.slow
def test_scores_take_attention_of_hugging_face_as_it_comes():
    """A transformers ViT's `attentions` have the shape and the rows that scores are made from."""
    from samediff_stimuli.models import Roles, pattern_scores

    vit, pairs = small_vit(), batch()
    with torch.no_grad():
        found = vit(prepare(pairs.base), output_attentions=True).attentions
    assert len(found) == 3
    objects = torch.zeros(3, 2, 197, dtype=torch.bool)
    objects[:, 0] = objects[:, 0].scatter(1, pairs.base_tokens, True)
    objects[:, 1] = objects[:, 1].scatter(1, torch.tensor([[90, 91, 104, 105]] * 3), True)
    ground = ~objects.any(dim=1)
    ground[:, 0] = False
    scores = pattern_scores(found[0], Roles(objects=objects, background=ground))
    rows = found[0][0, 2, pairs.base_tokens[0]]
    other = found[0][0, 2, [90, 91, 104, 105]]
    shares = [float(rows[:, objects[0, 1]].sum()) / 4, float(other[:, objects[0, 0]].sum()) / 4]
    assert float(scores.within_pair[0, 2]) == pytest.approx(max(shares), abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": torch.zeros(2, 3, 224, 224)}, "do not pair up"),
        ({"base_patches": INTO[:2]}, "do not pair up"),
        ({"base_patches": [[0], [1], [2]]}, "do not pair up"),
        ({"base_patches": [[0], [1, 2], [2]]}, r"rows of \[1, 2\] patches; legal: equally many"),
        ({"source_patches": [[], [], []]}, r"legal: \(n, t\) integers"),
        ({"source_patches": torch.rand(3, 4)}, r"legal: \(n, t\) integers"),
        ({"source_patches": [[-1], [1], [2]]}, "patch -1; legal: from 0"),
        ({"labels": {"target": torch.zeros(2)}}, r"labels 'target' are \(2,\); legal: \(3,\)"),
    ],
)
def test_batches_refuse_what_does_not_pair_up(changes, message):
    """Images, patches and labels of other numbers are refused in a line."""
    with pytest.raises(InputError, match=message):
        batch(**changes)
