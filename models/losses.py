"""Auxiliary losses on hidden states and attention of any library: disentanglement and pipeline.

Attention is (n, heads, tokens, tokens), rows are queries. Class and register tokens belong to no
object and not to the background. Sources: Lepori, Tartaglini et al. 2024 (arXiv 2406.15955), called
the paper, and its authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from samediff_stimuli import rng
from samediff_stimuli.models.attention import (
    FORMS,
    TINY,
    Roles,
    between_pair,
    widened,
    within_object,
    within_pair,
)
from samediff_stimuli.recipe import InputError

# Blocks, counted from 1. The paper says layers 3-5, 6-7 and 8-9 and draws layers 0-11; its code
# indexes Hugging Face's `attentions`, where 3 is the 4th block.
PIPELINE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"within_object": (4, 5, 6), "within_pair": (7, 8), "between_pair": (9, 10)}
)


class DisentanglementProbes(nn.Module):
    """Linear probes that ask for shape in one half of a token's hidden state, colour in the other.

    L = CE(W_s h[:d/2] + b_s, shape) + CE(W_c h[d/2:] + b_c, colour), each the mean over all object
    tokens of the batch; it is added to the task's loss with weight 1, and the probes are trained
    with the model. The paper takes h after its layer 3, `hidden_states[3]`, the third block's
    output (section on disentanglement losses; train.py, compute_auxiliary_loss). The control asks
    one probe for the object's identity, colour * n_shapes + shape: L = CE(W h + b, identity).

    In the authors' newest train.py the probes' weights never reach the optimiser; here they are
    parameters like any others. The control reads the whole hidden state.

    Args:
        dim: width of hidden states, even.
        n_shapes: shapes.
        n_colors: colours.
        control: whether to probe for identity instead.
        seed: of the initial weights; the global generator is left alone.

    Raises:
        InputError: if dim is odd.
    """

    def __init__(
        self,
        dim: int,
        n_shapes: int = 16,
        n_colors: int = 16,
        control: bool = False,
        *,
        seed: int = 0,
    ) -> None:
        """Make the probes."""
        super().__init__()
        if dim < 2 or dim % 2:
            raise InputError(f"dim {dim} has no two halves; legal: even numbers from 2")
        self.n_shapes, self.control = n_shapes, control
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            if control:
                self.identity = nn.Linear(dim, n_shapes * n_colors)
            else:
                self.shape = nn.Linear(dim // 2, n_shapes)
                self.color = nn.Linear(dim // 2, n_colors)

    def forward(self, hidden: Tensor, token_mask: Tensor, shape: Tensor, color: Tensor) -> Tensor:
        """The loss; see `loss`."""
        return self.loss(hidden, token_mask, shape, color)

    def loss(self, hidden: Tensor, token_mask: Tensor, shape: Tensor, color: Tensor) -> Tensor:
        """Cross-entropy of the probes, the mean over object tokens, summed over the probes.

        A token that two objects share counts once for each.

        Args:
            hidden: (n, tokens, d) float.
            token_mask: (n, k, tokens) bool, tokens of each object; see
                `samediff_stimuli.loaders.tokens.object_token_mask`.
            shape: (n, k) int64 in [0, n_shapes).
            color: (n, k) int64 in [0, n_colors).

        Returns:
            () float.
        """
        asked = self._asked(hidden, shape, color)
        return torch.stack([_cross_entropy(x, y, token_mask) for x, y in asked]).sum()

    @torch.no_grad()
    def accuracy(
        self, hidden: Tensor, token_mask: Tensor, shape: Tensor, color: Tensor
    ) -> tuple[Tensor, ...]:
        """Each probe's share of right answers over object tokens: shape and colour, or identity.

        Args:
            hidden: (n, tokens, d) float.
            token_mask: (n, k, tokens) bool.
            shape: (n, k) int64.
            color: (n, k) int64.
        """
        weight = token_mask.float()
        found = []
        for logits, labels in self._asked(hidden, shape, color):
            right = logits.argmax(dim=-1)[:, None, :] == labels[:, :, None]
            found.append((right * weight).sum() / weight.sum().clamp_min(1))
        return tuple(found)

    def _asked(self, hidden: Tensor, shape: Tensor, color: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Each probe's logits (n, tokens, classes) and labels (n, k)."""
        hidden = hidden.to(next(self.parameters()).dtype)  # states of half precision, say
        if self.control:
            return [(self.identity(hidden), color * self.n_shapes + shape)]
        first, second = hidden.chunk(2, dim=-1)
        return [(self.shape(first), shape), (self.color(second), color)]


def _cross_entropy(logits: Tensor, labels: Tensor, token_mask: Tensor) -> Tensor:
    """Mean cross-entropy over the tokens of all objects, without a shape that depends on data."""
    n, tokens, _ = logits.shape
    wanted = labels[:, None, :].expand(n, tokens, labels.shape[1])
    chance = widened(logits).log_softmax(dim=-1).gather(-1, wanted).transpose(1, 2)
    weight = token_mask.to(chance.dtype)
    return -(chance * weight).sum() / weight.sum().clamp_min(1)


def pipeline_loss(
    attention: Mapping[int, Tensor],
    roles: Roles,
    *,
    layers: Mapping[str, Sequence[int]] = PIPELINE,
    heads: Sequence[int] | None = None,
    form: str = "paper",
) -> Tensor:
    """Loss that is least when attention is within objects first, then in pairs, then between them.

    With s_l(i, h) the score of the layer's stage for image i and head h, the mean over objects of
    `within_object`, `within_pair` or `between_pair`: form "paper" is
    mean_l (1 - mean_{i,h} s_l(i, h)), form "code" mean_l mean_{i,h} -log s_l(i, h), which is
    BCELoss(s, 1) (the paper's section on the pipeline loss; train.py,
    compute_attention_score_loss). Form "code" also takes the code's denominators and its
    between-pair score, the mean over single objects of the other pair, which is half of ours. It
    is added to the task's loss with weight 1. "between_pair" is left out with one pair.

    Args:
        attention: by block from 1, (n, heads, tokens, tokens) float; those of `layers`.
        roles: tokens' roles.
        layers: blocks of each stage; the paper's by default.
        heads: which heads; see `random_heads`; None for all.
        form: "paper" or "code".

    Returns:
        () float.

    Raises:
        InputError: unknown form or stage, no layer, or a layer without attention.
    """
    if form not in FORMS:
        raise InputError(f"unknown form {form!r}; known: {', '.join(FORMS)}")
    terms = []
    for layer, stage in stages_of(layers, len(roles.pairs)).items():
        if layer not in attention:
            raise InputError(f"no attention of layer {layer}; there is: {sorted(attention)}")
        maps = attention[layer] if heads is None else attention[layer][:, list(heads)]
        score = _STAGES[stage](maps, roles, form).mean(dim=-1)
        if form == "code" and stage == "between_pair":
            score = score / 2
        terms.append(1 - score if form == "paper" else -score.clamp_min(TINY).log())
    return torch.stack([term.mean() for term in terms]).mean()


def stages_of(layers: Mapping[str, Sequence[int]], n_pairs: int) -> dict[int, str]:
    """The stage of each block that the pipeline loss needs the attention of, in order.

    Args:
        layers: blocks of each stage.
        n_pairs: pairs of objects in an image; "between_pair" needs two.

    Raises:
        InputError: an unknown stage, a block in two stages, or no block at all.
    """
    found: dict[int, str] = {}
    for stage, blocks in layers.items():
        if stage not in _STAGES:
            raise InputError(f"unknown stage {stage!r}; known: {', '.join(_STAGES)}")
        if stage == "between_pair" and n_pairs < 2:
            continue
        for block in blocks:
            if found.setdefault(block, stage) != stage:
                raise InputError(f"layer {block} is in two stages: {found[block]} and {stage}")
    if not found:
        raise InputError("the pipeline loss has no layers; give at least one to a stage")
    return dict(sorted(found.items()))


def random_heads(n_heads: int, count: int, seed: int) -> tuple[int, ...]:
    """A fixed random subset of heads; the paper takes 4, 6 or 8 of 12, the same in all layers.

    Args:
        n_heads: heads of a block.
        count: how many to take.
        seed: the same seed takes the same heads, everywhere.

    Raises:
        InputError: if count is not in 1 .. n_heads.
    """
    if not 1 <= count <= n_heads:
        raise InputError(
            f"heads {count} is out of range; legal: 1 .. {n_heads}, the paper's 4, 6, 8"
        )
    words = rng.blocks(rng.stream_key("pipeline heads", n_heads, seed), 0, n_heads)[:, 0]
    return tuple(sorted(rng.order(words)[:count].tolist()))


_STAGES = {score.__name__: score for score in (within_object, within_pair, between_pair)}
