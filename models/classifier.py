"""A two-logit classifier of uint8 images around a timm network, which can show its insides.

Layers are counted as in Hugging Face's `hidden_states`: hidden state 0 is what enters the first
block and hidden state i what the i-th block gives; attention i is that of the i-th block, from 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from samediff_stimuli.recipe import InputError


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a forward pass shows of itself.

    Attributes:
        logits: (n, 2) float.
        hidden: by layer, 0 .. n_layers: (n, tokens, d) float, before any final norm.
        attention: by layer, 1 .. n_layers: (n, heads, tokens, tokens) float in [0, 1], rows are
            queries and sum to one.
    """

    logits: Tensor
    hidden: dict[int, Tensor] = field(default_factory=dict)
    attention: dict[int, Tensor] = field(default_factory=dict)


class Classifier(nn.Module):
    """Two-logit classifier: a timm network without its head, and a linear head.

    Args:
        body: timm network without classifier.
        head: from features to two logits.
        mean: three numbers in [0, 1], subtracted from the channels.
        std: three numbers that divide them.
        image_size: image side in pixels.
        probe: whether the body is frozen, in eval mode, and the head alone is trained.
        mean_too: whether the head reads the mean patch token beside the class token.

    Attributes:
        patch_size: patch side in pixels; None without tokens.
        n_prefix_tokens: class and register tokens before the first patch.
        n_layers: transformer blocks; 0 if the network shows no tokens.
        n_heads: heads of each block; 0 if the network shows no tokens.
        image_size: image side in pixels.
        probe: whether the body is frozen.
        mean_too: whether the head reads the mean patch token beside the class token.
    """

    _shift: Tensor
    _scale: Tensor

    def __init__(
        self,
        body: Any,
        head: nn.Linear,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        image_size: int,
        probe: bool = False,
        mean_too: bool = False,
    ) -> None:
        """Keep the parts; freeze the body if it is only probed."""
        super().__init__()
        self.body, self.head = body, head
        self.image_size, self.probe, self.mean_too = image_size, probe, mean_too
        self.patch_size = patch_size_of(body)
        self.n_prefix_tokens = int(getattr(body, "num_prefix_tokens", 0))
        shown = _shows_tokens(body)
        self.n_layers = len(body.blocks) if shown else 0
        self.n_heads = int(body.blocks[0].attn.num_heads) if shown else 0
        # Not in the state dict: they follow from the source, and weights stay weights.
        self.register_buffer("_shift", 255 * torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("_scale", 1 / (255 * torch.tensor(std).view(3, 1, 1)), False)
        if probe:
            self.body.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Classifier:
        """Set the mode; a body that is only probed stays in eval mode."""
        super().train(mode)
        if self.probe:
            self.body.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Logits (n, 2) of (n, 3, image_size, image_size) uint8 images.

        Raises:
            InputError: if images have another type or size.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.probe):
            features = self._pool(self.body.forward_features(self._normalise(images)))
        logits: Tensor = self.head(features)
        return logits

    def forward_parts(
        self, images: Tensor, hidden: Iterable[int] = (), attention: Iterable[int] = ()
    ) -> Parts:
        """Logits, and hidden states and attention weights of the layers asked for.

        Attention weights are softmax(q k^T / sqrt(d_head)) of that block, made from its input
        beside the block itself, which keeps its fused kernel; what is not asked for costs nothing.

        Args:
            images: (n, 3, image_size, image_size) uint8.
            hidden: layers in 0 .. n_layers.
            attention: layers in 1 .. n_layers.

        Raises:
            InputError: if images have another type or size, or there is no such layer.
        """
        hidden, attention = frozenset(hidden), frozenset(attention)
        if not hidden and not attention:
            return Parts(logits=self(images))
        self._check_layers(hidden, attention)
        states, maps = {}, {}
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.probe):
            tokens = self._embed(self._normalise(images))
            if 0 in hidden:
                states[0] = tokens
            for layer, block in enumerate(self.body.blocks, start=1):
                if layer in attention:
                    maps[layer] = attention_weights(block, tokens)
                tokens = block(tokens)
                if layer in hidden:
                    states[layer] = tokens
            features = self._pool(self.body.norm(tokens))
        return Parts(logits=self.head(features), hidden=states, attention=maps)

    def walk(self, images: Tensor) -> Iterator[tuple[Any, Tensor]]:
        """Each block in turn, and the hidden state (n, tokens, d) that enters it.

        Args:
            images: (n, 3, image_size, image_size) uint8.

        Raises:
            InputError: if images have another type or size, or the network shows no tokens.
        """
        self._check_layers(frozenset(), frozenset({1}))
        tokens = self._embed(self._normalise(images))
        for block in self.body.blocks:
            yield block, tokens
            tokens = block(tokens)

    def resume(self, layer: int, states: Tensor) -> Tensor:
        """Logits (n, 2) of hidden states that enter the block after a layer, changed or not.

        Args:
            layer: in 0 .. n_layers.
            states: (n, tokens, d), what `forward_parts` shows of that layer.

        Raises:
            InputError: if there is no such layer.
        """
        self._check_layers(frozenset({layer}), frozenset())
        for block in self.body.blocks[layer:]:
            states = block(states)
        logits: Tensor = self.head(self._pool(self.body.norm(states)))
        return logits

    def _normalise(self, images: Tensor) -> Tensor:
        """(n, 3, side, side) float32 from uint8, on the images' device."""
        side = self.image_size
        if images.dtype != torch.uint8 or images.shape[1:] != (3, side, side):
            raise InputError(
                f"images are {tuple(images.shape)} {images.dtype}; this model takes "
                f"(n, 3, {side}, {side}) torch.uint8; make it with image_size of the images"
            )
        return (images.float() - self._shift) * self._scale

    def _embed(self, images: Tensor) -> Tensor:
        """Hidden state 0, as timm's VisionTransformer.forward_features makes it."""
        tokens = self.body._pos_embed(self.body.patch_embed(images))
        embedded: Tensor = self.body.norm_pre(self.body.patch_drop(tokens))
        return embedded

    def _pool(self, features: Tensor) -> Tensor:
        """(n, width) float: what the head reads."""
        if self.mean_too:
            patches = features[:, self.n_prefix_tokens :]
            return torch.cat([features[:, 0], patches.mean(dim=1)], dim=1)
        pooled: Tensor = self.body.forward_head(features, pre_logits=True)
        return pooled

    def _check_layers(self, hidden: frozenset[int], attention: frozenset[int]) -> None:
        """Refuse layers that there are not."""
        require_tokens(self, "hidden states and attention")
        for name, layers, first in (("hidden", hidden, 0), ("attention", attention, 1)):
            for layer in sorted(layers):
                if not first <= layer <= self.n_layers:
                    raise InputError(
                        f"{name} layer {layer} is out of range; legal: {first} .. {self.n_layers}"
                    )


def attention_weights(block: Any, tokens: Tensor) -> Tensor:
    """Attention weights of a timm block on its input: softmax(q k^T / sqrt(d_head)).

    Args:
        block: block of a timm VisionTransformer.
        tokens: (n, tokens, d) float, what enters the block.

    Returns:
        (n, heads, tokens, tokens) float, rows are queries and sum to one.
    """
    attn = block.attn
    both = attn.qkv(block.norm1(tokens)).unflatten(-1, (3, attn.num_heads, -1))
    query, key, _ = both.permute(2, 0, 3, 1, 4)
    scores = (attn.q_norm(query) * attn.scale) @ attn.k_norm(key).transpose(-2, -1)
    wide = torch.promote_types(scores.dtype, torch.float32)  # under autocast scores are bfloat16
    weights: Tensor = scores.softmax(dim=-1, dtype=wide)
    return weights


def patch_size_of(body: Any) -> int | None:
    """Patch side in pixels of a timm network with square patches; None without."""
    sides = getattr(getattr(body, "patch_embed", None), "patch_size", None)
    return int(sides[0]) if sides is not None and len(set(sides)) == 1 else None


def _shows_tokens(body: Any) -> bool:
    """Whether a timm network is a plain ViT, whose forward pass `forward_parts` walks through."""
    kind, blocks = type(body), getattr(body, "blocks", ())
    plain = (kind.__name__, kind.__module__) == ("VisionTransformer", _VIT)
    return plain and all(
        type(getattr(block, "attn", None)).__name__ == "Attention" for block in blocks
    )


_VIT = "timm.models.vision_transformer"


def require_tokens(model: nn.Module, what: str) -> Classifier:
    """The model, if it is a ViT that shows its tokens.

    Args:
        model: any network.
        what: needs tokens, in the plural, for the message.

    Raises:
        InputError: if it shows none.
    """
    if isinstance(model, Classifier) and model.n_layers and model.patch_size is not None:
        return model
    network = model.body if isinstance(model, Classifier) else model
    raise InputError(
        f"{what} need a ViT that shows its tokens, not {type(network).__name__}; use vit_mini, "
        "vit_b16, vit_b32 or vit_b14 (train --model NAME), or a plain ViT of timm's"
    )
