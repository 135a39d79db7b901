"""Backbones: the table against timm's registry, what they show of themselves, weights, errors."""

import re
import subprocess
import sys

import pytest
import torch
from torch import nn

from samediff_stimuli.loaders.tokens import object_token_mask, patch_coverage
from samediff_stimuli.models import backbones, torchvision_shim
from samediff_stimuli.models.backbones import BACKBONES, SOURCES, build, from_timm
from samediff_stimuli.recipe import InputError

TINY = "test_vit"  # timm's own, 0.3 million weights: six blocks, two heads, patches of 16
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)


@pytest.fixture(scope="module")
def timm():
    return torchvision_shim.load_timm()


@pytest.fixture(scope="module")
def vit():
    """A small ViT from seed 0 whose attention is far from even, and three images for it."""
    model = from_timm(TINY, image_size=32)
    with torch.no_grad():
        for block in model.body.blocks:
            block.attn.qkv.weight.mul_(10)
    return model.eval(), pictures(3, 32)


def pictures(n, side):
    """(n, 3, side, side) uint8."""
    generator = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, (n, 3, side, side), generator=generator, dtype=torch.uint8)


def small_table(monkeypatch):
    """Give vit_b16 a small network of the same kind, so that tests take no time."""
    row = backbones.Backbone(
        architecture=TINY, stride=16, patch_size=16, tags={"imagenet": f"{TINY}.r160_in1k"}
    )
    monkeypatch.setitem(BACKBONES, "vit_b16", row)


def test_table_agrees_with_timm(timm):
    """Every tag is one of timm's, made for this patch side, with the source's own normalisation."""
    from timm.data import IMAGENET_DEFAULT_MEAN

    means = dict.fromkeys(SOURCES, IMAGENET_DEFAULT_MEAN) | {"clip": CLIP_MEAN}
    used = set()
    for name, backbone in BACKBONES.items():
        assert timm.is_model(backbone.architecture)
        assert backbone.stride == (backbone.patch_size or 32)
        for source, tag in backbone.tags.items():
            assert tag in timm.list_models(f"{tag.split('.')[0]}.*", pretrained=True)
            config = timm.get_pretrained_cfg(tag)
            plain = source == "imagenet" and name.startswith("vit")  # 21k: mean 0.5, as the authors
            assert tuple(config.mean) == ((0.5, 0.5, 0.5) if plain else means[source]), tag
            used.add(source)
    assert used == set(SOURCES)


def test_a_named_vit_is_the_authors_network():
    """From scratch, B/32 is a plain ViT-B with N(0, 0.02) weights, a biased head and mean 0.5."""
    model = build("vit_b32", image_size=32)
    assert (model.patch_size, model.n_prefix_tokens, model.image_size) == (32, 1, 32)
    assert (model.n_layers, model.n_heads) == (12, 12)
    assert model.head.weight.shape == (2, 768)
    assert model.head.bias is not None
    for weight in (model.body.patch_embed.proj.weight, model.body.blocks[5].mlp.fc1.weight):
        assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.01)
    for token in (model.body.cls_token, model.body.pos_embed, model.head.weight):
        assert float(token.detach().std()) == pytest.approx(0.02, rel=0.2)
    assert not model.body.blocks[5].attn.qkv.bias.any()
    assert not model.head.bias.any()
    white = model._normalise(torch.full((1, 3, 32, 32), 255, dtype=torch.uint8))
    assert torch.allclose(white, torch.ones_like(white))
    parts = model.eval().forward_parts(pictures(1, 32), hidden=(0, 12), attention=(1,))
    assert parts.logits.shape == (1, 2)
    assert parts.hidden[12].shape == (1, 2, 768)
    assert parts.attention[1].shape == (1, 12, 2, 2)


@pytest.mark.slow
def test_named_networks_have_their_patches_and_heads(monkeypatch):
    """CLIP's head is bias-free, DINOv2's reads two vectors, ResNet-50 has no tokens."""
    monkeypatch.setattr(backbones, "_fill", lambda *_: None)
    clip = build("vit_b16", pretrained="clip", image_size=32)
    assert clip.head.bias is None
    assert clip.head.weight.shape == (2, 768)
    assert isinstance(clip.body.norm_pre, nn.LayerNorm)
    assert clip.n_layers == 12
    grey = clip._normalise(torch.full((1, 3, 32, 32), 128, dtype=torch.uint8))[0, :, 0, 0]
    assert float(grey[0]) == pytest.approx((128 / 255 - CLIP_MEAN[0]) / 0.26862954, abs=1e-5)
    dino = build("vit_b14", image_size=28).eval()
    assert dino.head.weight.shape == (2, 1536)
    assert dino.patch_size == 14
    assert float(dino.body.blocks[0].ls1.gamma.detach().min()) == 1
    tokens = dino.forward_parts(pictures(1, 28), hidden=(12,)).hidden[12]
    tokens = dino.body.norm(tokens)
    features = torch.cat([tokens[:, 0], tokens[:, 1:].mean(dim=1)], dim=1)
    assert torch.allclose(dino(pictures(1, 28)), dino.head(features), atol=1e-5)
    resnet = build("resnet50", image_size=64).eval()
    assert (resnet.patch_size, resnet.n_layers, resnet.n_prefix_tokens) == (None, 0, 0)
    assert resnet(pictures(2, 64)).shape == (2, 2)
    with pytest.raises(InputError, match="need a ViT that shows its tokens, not ResNet"):
        resnet.forward_parts(pictures(2, 64), hidden=(1,))


def test_parts_leave_the_logits_as_they_are(vit):
    """Logits are the same with and without parts; parts not asked for are not there."""
    model, images = vit
    logits = model(images)
    parts = model.forward_parts(images, hidden=range(7), attention=range(1, 7))
    assert torch.allclose(parts.logits, logits, atol=1e-6)
    assert sorted(parts.hidden) == list(range(7))
    assert sorted(parts.attention) == list(range(1, 7))
    assert torch.equal(model.forward_parts(images).logits, logits)
    some = model.forward_parts(images, hidden=(3,))
    assert list(some.hidden) == [3]
    assert some.attention == {}


def test_hidden_states_are_what_the_blocks_take_and_give(vit):
    """Layer 0 is the first block's input and layer i the i-th block's output."""
    model, images = vit
    seen = {}

    def note(layer):
        return lambda module, inputs, output: seen.update({layer - 1: inputs[0], layer: output})

    handles = [
        block.register_forward_hook(note(layer))
        for layer, block in enumerate(model.body.blocks, start=1)
    ]
    model(images)
    for handle in handles:
        handle.remove()
    hidden = model.forward_parts(images, hidden=range(7)).hidden
    assert hidden[0].shape == (3, 4 + model.n_prefix_tokens, 64)
    for layer in range(7):
        assert torch.allclose(hidden[layer], seen[layer], atol=1e-5), layer


def test_attention_is_softmax_of_queries_and_keys(vit):
    """Rows sum to one, and equal timm's own unfused weights and a computation by hand."""
    model, images = vit
    found = model.forward_parts(images, hidden=(1,), attention=(2, 5))
    weights = found.attention[2]
    assert weights.shape == (3, 2, 4 + model.n_prefix_tokens, 4 + model.n_prefix_tokens)
    assert torch.allclose(weights.sum(dim=-1), torch.ones(weights.shape[:-1]), atol=1e-6)
    assert float(weights.detach().std()) > 0.01  # not just even
    attn = model.body.blocks[1].attn
    tokens = model.body.blocks[1].norm1(found.hidden[1])
    query, key, _ = nn.functional.linear(tokens, attn.qkv.weight, attn.qkv.bias).chunk(3, dim=-1)
    width = attn.head_dim
    for head in range(2):
        q, k = (x[..., head * width : (head + 1) * width] for x in (query, key))
        by_hand = ((q @ k.transpose(1, 2)) / width**0.5).softmax(dim=-1)
        assert torch.allclose(weights[:, head], by_hand, atol=1e-5)
    seen = []
    handle = attn.attn_drop.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    attn.fused_attn = False
    model(images)
    attn.fused_attn = True
    handle.remove()
    assert torch.allclose(seen[0], weights, atol=1e-5)


def test_attention_is_single_precision_under_autocast(vit):
    """Under bfloat16 autocast rows still sum to one closely, and logits are as without parts."""
    model, images = vit
    with torch.autocast("cpu", dtype=torch.bfloat16):
        parts = model.forward_parts(images, attention=(2,))
        logits = model(images)
    weights = parts.attention[2]
    assert weights.dtype == torch.float32
    assert torch.allclose(weights.sum(dim=-1), torch.ones(weights.shape[:-1]), atol=1e-6)
    assert torch.allclose(parts.logits, logits, atol=1e-2)


def test_parts_carry_gradients_to_the_weights(vit):
    """A loss on attention and hidden states of a block reaches its weights and none above it."""
    model, images = vit
    parts = model.forward_parts(images, hidden=(2,), attention=(3,))
    (parts.attention[3][..., 0].sum() + parts.hidden[2].square().mean()).backward()
    assert model.body.blocks[1].mlp.fc1.weight.grad.abs().sum() > 0
    assert model.body.blocks[2].attn.qkv.weight.grad.abs().sum() > 0
    assert model.body.blocks[2].mlp.fc1.weight.grad is None
    assert model.head.weight.grad is None
    model.zero_grad()


def test_tokens_agree_with_the_loaders_masks(vit):
    """A change of one patch's pixels changes that patch's token of the embedding and no other."""
    model, images = vit
    instances = torch.zeros(3, 32, 32, dtype=torch.uint8)
    instances[:, 20:24, 3:6] = 1  # inside the third patch
    mask = object_token_mask(patch_coverage(instances, model.patch_size, 1), model.n_prefix_tokens)
    changed = torch.where(instances[:, None] > 0, 255 - images, images)
    before, after = (model.forward_parts(x, hidden=(0,)).hidden[0] for x in (images, changed))
    assert torch.equal((before != after).any(dim=-1), mask[:, 0])


def test_a_probe_trains_the_head_alone():
    """A probe's body is frozen, in eval mode, and a step changes the head and nothing else."""
    model = from_timm("test_resnet", image_size=32, probe=True)
    assert model.training
    assert not model.body.training
    assert [name for name, p in model.named_parameters() if p.requires_grad] == [
        "head.weight",
        "head.bias",
    ]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimiser = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=1.0)
    nn.functional.cross_entropy(model(pictures(4, 32)), torch.tensor([0, 1, 0, 1])).backward()
    optimiser.step()
    changed = [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])]
    assert changed == ["head.weight", "head.bias"]


def test_seeds_set_the_weights_and_leave_the_global_generator(monkeypatch):
    """The same seed gives the same weights; the global generator is untouched."""
    small_table(monkeypatch)
    for make in (lambda seed: build("vit_b16", image_size=32, seed=seed), _tiny_of_seed):
        torch.rand(1)
        before = torch.get_rng_state()
        one, two, other = (make(seed).state_dict() for seed in (3, 3, 4))
        assert torch.equal(torch.get_rng_state(), before)
        assert all(torch.equal(one[key], two[key]) for key in one)
        for key in ("head.weight", "body.patch_embed.proj.weight", "body.pos_embed"):
            assert not torch.equal(one[key], other[key])


def _tiny_of_seed(seed):
    return from_timm(TINY, image_size=32, seed=seed)


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_a_local_file_fills_the_body(monkeypatch, tmp_path, timm, suffix):
    """Weights of a file of another image size are in the model; its classifier and grid are not."""
    small_table(monkeypatch)
    source = timm.create_model(TINY, num_classes=10, img_size=64)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save({"state_dict": source.state_dict()}, path)
    else:
        from safetensors.torch import save_file

        save_file(source.state_dict(), path)
    named = build("vit_b16", pretrained="imagenet", weights=path, image_size=32)
    for model in (named, from_timm(f"timm:{TINY}", weights=path, image_size=32)):
        for key, value in source.blocks.state_dict().items():
            assert torch.equal(model.body.blocks.state_dict()[key], value), key
        assert model.head.weight.shape[0] == 2
        assert model.body.pos_embed.shape[1] < source.pos_embed.shape[1]


def test_weights_that_do_not_fit_are_refused(monkeypatch, tmp_path, timm):
    """A missing, broken, foreign or pickled file is one line that says what is wrong."""
    small_table(monkeypatch)

    def refused(path, *lines):
        with pytest.raises(InputError, match=re.escape(str(path))) as caught:
            build("vit_b16", pretrained="imagenet", weights=path, image_size=32)
        said = str(caught.value)
        assert "\n" not in said
        assert [line for line in lines if line not in said] == [], said

    refused(tmp_path / "none.safetensors", "does not exist")
    for name in ("noise.safetensors", "noise.pt"):
        (tmp_path / name).write_bytes(b"not weights at all")
        refused(tmp_path / name, "cannot be read")
    torch.save({"net": nn.Linear(2, 2)}, tmp_path / "pickled.pt")
    refused(tmp_path / "pickled.pt", "cannot be read", "weights_only=True")
    torch.save([1, 2], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "weights file")
    torch.save({}, tmp_path / "empty.pt")
    refused(tmp_path / "empty.pt", "no state dict")
    state = timm.create_model(TINY, num_classes=0, img_size=32).state_dict()
    del state["norm.bias"], state["blocks.0.attn.qkv.bias"]
    state["extra.weight"] = torch.zeros(1)
    state["blocks.1.norm1.weight"] = torch.zeros(7)
    torch.save(state, tmp_path / "other.pt")
    refused(
        tmp_path / "other.pt",
        f"does not fit {TINY}.r160_in1k",
        "missing: blocks.0.attn.qkv.bias, norm.bias",
        "unknown: extra.weight",
        "of another shape: blocks.1.norm1.weight",
    )


def test_weights_that_cannot_be_downloaded_name_the_file_and_the_way_out(monkeypatch, timm):
    """Without a network the line names repository and file, and says to use --weights FILE."""
    small_table(monkeypatch)

    def offline(*_args, **_options):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(timm.models, "load_state_dict_from_hf", offline)
    for make in (
        lambda: build("vit_b16", pretrained="imagenet", image_size=32),
        lambda: from_timm(f"{TINY}.r160_in1k", pretrained=True, image_size=32),
    ):
        with pytest.raises(InputError, match="--weights FILE") as caught:
            make()
        assert "timm/test_vit.r160_in1k (model.safetensors)" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_downloaded_weights_take_the_same_way(monkeypatch, timm):
    """What the Hub gives is fitted as a file is: the body's weights are the source's."""
    small_table(monkeypatch)
    source = timm.create_model(TINY, num_classes=1000).state_dict()
    monkeypatch.setattr(timm.models, "load_state_dict_from_hf", lambda *_, **__: dict(source))
    model = build("vit_b16", pretrained="imagenet", image_size=32)
    assert torch.equal(model.body.blocks[0].mlp.fc1.weight, source["blocks.0.mlp.fc1.weight"])


def test_wrong_arguments_are_one_line():
    """Each wrong name, source or size is one line that says what is legal."""
    cases = [
        (lambda: build("vit_b8"), "unknown backbone 'vit_b8'; known: vit_b16, vit_b32, vit_b14"),
        (lambda: build("vit_b16", pretrained="beit"), "known: clip, dinov2, imagenet, dino, mae"),
        (lambda: build("vit_b32", pretrained="mae"), "of vit_b32: clip, imagenet"),
        (lambda: build("vit_b16", weights="w.pt"), "'w.pt' need their source"),
        (lambda: build("vit_b14", image_size=225), "legal: multiples of 14"),
        (lambda: build("vit_b16", image_size=0), "legal: multiples of 16"),
        (lambda: from_timm("timm:vit_bse_patch16_224"), "did you mean vit_base_patch16_224"),
        (lambda: from_timm("test_vit.none"), "of test_vit: test_vit.r160_in1k"),
        (lambda: from_timm(TINY, image_size=40), "legal: multiples of 16"),
    ]
    for call, line in cases:
        with pytest.raises(InputError, match=re.escape(line)) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_wrong_images_and_layers_are_one_line(vit):
    """Float images, another size, and layers that there are not, are refused."""
    model, images = vit
    cases = [
        (lambda: model(images.float()), "this model takes (n, 3, 32, 32) torch.uint8"),
        (lambda: model(pictures(1, 48)), "this model takes (n, 3, 32, 32) torch.uint8"),
        (lambda: model.forward_parts(images, hidden=(7,)), "hidden layer 7 is out of range"),
        (lambda: model.forward_parts(images, attention=(0,)), "legal: 1 .. 6"),
    ]
    for call, line in cases:
        with pytest.raises(InputError, match=re.escape(line)):
            call()


def test_any_timm_network_is_a_classifier():
    """Networks of other kinds classify at their own size; those without plain tokens show none."""
    model = from_timm("timm:test_convnext").eval()
    assert model(pictures(1, model.image_size)).shape == (1, 2)
    assert (model.n_layers, model.patch_size) == (0, None)
    with pytest.raises(InputError, match="need a ViT that shows its tokens"):
        model.forward_parts(pictures(1, model.image_size), attention=(1,))


def test_missing_libraries_are_one_line(monkeypatch):
    """Without timm or torchvision the line says what to install."""
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "timm", raising=False)
    with pytest.raises(InputError, match=r"torchvision.*samediff-stimuli\[train\]"):
        torchvision_shim.load_timm()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"timm.*samediff-stimuli\[train\]"):
        build("vit_b16")


def test_importing_the_module_loads_neither_timm_nor_torchvision():
    """The modules import where timm and torchvision are not installed."""
    code = (
        "import sys; import samediff_stimuli.models.backbones, samediff_stimuli.models.losses; "
        "print([m for m in ('timm', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
