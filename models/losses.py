"""Auxiliary losses and attention-pattern scores on tensors from any library, small and pure.

Attention is (n, heads, tokens, tokens), rows are queries. Class and register tokens belong to no
object and not to the background. Sources: Lepori, Tartaglini et al. 2024 (arXiv 2406.15955), called
the paper, and its authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from samediff_stimuli import rng
from samediff_stimuli.recipe import InputError

FORMS = ("paper", "code")
# Blocks, counted from 1. The paper says layers 3-5, 6-7 and 8-9 and draws layers 0-11; its code
# indexes Hugging Face's `attentions`, where 3 is the 4th block.
PIPELINE: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {"within_object": (4, 5, 6), "within_pair": (7, 8), "between_pair": (9, 10)}
)
_TINY = 1e-12


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
        if self.control:
            return [(self.identity(hidden), color * self.n_shapes + shape)]
        first, second = hidden.chunk(2, dim=-1)
        return [(self.shape(first), shape), (self.color(second), color)]


def _cross_entropy(logits: Tensor, labels: Tensor, token_mask: Tensor) -> Tensor:
    """Mean cross-entropy over the tokens of all objects, without a shape that depends on data."""
    n, tokens, _ = logits.shape
    wanted = labels[:, None, :].expand(n, tokens, labels.shape[1])
    chance = _wide(logits).log_softmax(dim=-1).gather(-1, wanted).transpose(1, 2)
    weight = token_mask.to(chance.dtype)
    return -(chance * weight).sum() / weight.sum().clamp_min(1)


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Which tokens of a batch are what.

    Attributes:
        objects: (n, k, tokens) bool, tokens of each object.
        background: (n, tokens) bool, patch tokens that no object touches.
        pairs: the objects of each pair; of RMTS the display pair is first, as in our datasets.
    """

    objects: Tensor
    background: Tensor
    pairs: tuple[tuple[int, int], ...] = ((0, 1),)

    def __post_init__(self) -> None:
        """Check shapes and pairs.

        Raises:
            InputError: if masks do not belong together or a pair names an object that is not there.
        """
        n, k, tokens = self.objects.shape
        if self.background.shape != (n, tokens):
            raise InputError(
                f"background {tuple(self.background.shape)} does not suit objects "
                f"{(n, k, tokens)}; legal: {(n, tokens)}"
            )
        named = [member for pair in self.pairs for member in pair]
        if not named or len(set(named)) < len(named) or not set(named) <= set(range(k)):
            raise InputError(
                f"pairs {self.pairs} do not suit {k} objects; legal: each at most once"
            )

    @property
    def partner(self) -> dict[int, int]:
        """The other object of each object's pair."""
        return {a: b for x, y in self.pairs for a, b in ((x, y), (y, x))}


def within_object(attention: Tensor, roles: Roles, denominator: str = "paper") -> Tensor:
    """Share of the attention leaving an object's tokens T_o that stays in T_o.

    WO_o = sum_{q, t in T_o} A[q, t] / sum_{q in T_o, all t} A[q, t]; the denominator holds the
    class token and T_o itself (the paper's section on attention patterns; analyze_attention.py).
    With denominator "code" it is |T_o| times as large (train.py, compute_attention_score_loss,
    counts a row once for every token of the object): scores of 2 x 2 tokens end at 1/4.

    Args:
        attention: (n, heads, tokens, tokens) float.
        roles: tokens' roles.
        denominator: "paper" or "code".

    Returns:
        (n, heads, m) float in [0, 1], of the m paired objects in the order of `roles.pairs`; 0 of
        an object without tokens.
    """
    return _shares(attention, roles, {o: [o] for o in roles.partner}, denominator)


def within_pair(attention: Tensor, roles: Roles, denominator: str = "paper") -> Tensor:
    """Share that goes to the other object of the pair: WP_o, arguments as in `within_object`.

    WP_o = sum_{q in T_o, t in T_partner(o)} A[q, t] / sum_{q in T_o, all t} A[q, t].
    """
    return _shares(attention, roles, {o: [p] for o, p in roles.partner.items()}, denominator)


def between_pair(attention: Tensor, roles: Roles, denominator: str = "paper") -> Tensor:
    """Share that goes to all objects of other pairs: BP_o, arguments as in `within_object`.

    BP_o = sum_{q in T_o, t in T_x, x in other pairs} A[q, t] / sum_{q in T_o, all t} A[q, t]; 0 if
    there is one pair only.
    """
    targets = {o: [x for x in roles.partner if x not in (o, p)] for o, p in roles.partner.items()}
    return _shares(attention, roles, targets, denominator)


def background(attention: Tensor, roles: Roles, denominator: str = "paper") -> Tensor:
    """Share that goes to background patches: BG_o, arguments as in `within_object`.

    BG_o = sum_{q in T_o, t in background} A[q, t] / sum_{q in T_o, all t} A[q, t].
    """
    leaving, total = _leaving(attention, roles, denominator)
    to_ground = _sum("nhkt,nt->nhk", leaving, roles.background.to(leaving.dtype))
    return to_ground / total


def _leaving(attention: Tensor, roles: Roles, denominator: str) -> tuple[Tensor, Tensor]:
    """Attention from each paired object to each token (n, heads, m, tokens), and denominators."""
    if denominator not in FORMS:
        raise InputError(f"unknown denominator {denominator!r}; known: {', '.join(FORMS)}")
    attention = _wide(attention)
    sources = roles.objects[:, list(roles.partner)].to(attention.dtype)
    leaving = _sum("nkq,nhqt->nhkt", sources, attention)
    total = leaving.sum(dim=-1)
    if denominator == "code":
        total = total * sources.sum(dim=-1)[:, None]
    return leaving, total.clamp_min(_TINY)


def _shares(
    attention: Tensor, roles: Roles, targets: Mapping[int, Sequence[int]], denominator: str
) -> Tensor:
    """(n, heads, m): share of what leaves each object that goes to the objects it is mapped to."""
    leaving, total = _leaving(attention, roles, denominator)
    masks = [roles.objects[:, list(aims)].any(dim=1) for aims in targets.values()]
    wanted = torch.stack(masks, dim=1).to(leaving.dtype)
    return _sum("nhmt,nmt->nhm", leaving, wanted) / total


def _sum(equation: str, *operands: Tensor) -> Tensor:
    """torch.einsum in the operands' precision, whatever autocast would do."""
    with torch.autocast(operands[0].device.type, enabled=False):
        return torch.einsum(equation, *operands)


@dataclass(frozen=True, kw_only=True)
class PatternScores:
    """Attention patterns of each image and head, (n, heads) float; the papers' numbers are means.

    Attributes:
        within_object: 1 - all that is counted as global.
        within_pair: maximum over objects.
        between_pair: maximum over the two directions; 0 with one pair.
        background: maximum over objects.
        local_global: heat-map value, 0 local .. 1 global.
    """

    within_object: Tensor
    within_pair: Tensor
    between_pair: Tensor
    background: Tensor
    local_global: Tensor


def pattern_scores(attention: Tensor, roles: Roles, form: str = "paper") -> PatternScores:
    """Attention-pattern scores of each image and head.

    Both forms: WP = max_o WP_o, BG = max_o BG_o, BP = max over pairs of the pair's attention to
    other pairs as a share of all that leaves it; attention to class and register tokens counts as
    within object. Form "paper": local-global = max_o (WP_o + BG_o), one combined proportion, and
    WO = 1 - WP - BG; the text defines them for one pair, and with two BP_o is added to the one and
    BP taken from the other, as none of it is local. Form "code" (analyze_attention.py):
    local-global = WP + BG, each with its own maximum, and WO = 1 - WP - BG; of RMTS with the sample
    (last) pair's terms alone, so that its attention to the display pair counts as within object.

    Args:
        attention: (n, heads, tokens, tokens) float.
        roles: tokens' roles.
        form: "paper" or "code".
    """
    if form not in FORMS:
        raise InputError(f"unknown form {form!r}; known: {', '.join(FORMS)}")
    pair, ground = within_pair(attention, roles), background(attention, roles)
    total = _leaving(attention, roles, "paper")[1]
    between_object = between_pair(attention, roles)
    emitted = total.reshape(*total.shape[:-1], -1, 2)  # by pair and object
    between_shares = between_object.reshape(emitted.shape)
    between = ((between_shares * emitted).sum(dim=-1) / emitted.sum(dim=-1)).amax(dim=-1)
    wp, bg = pair.amax(dim=-1), ground.amax(dim=-1)
    if form == "paper":
        local_global = (pair + ground + between_object).amax(dim=-1)
        within = 1 - wp - bg - between
    else:
        bg = ground[..., -2:].amax(dim=-1)
        local_global = pair[..., -2:].amax(dim=-1) + bg
        within = 1 - local_global
    return PatternScores(
        within_object=within,
        within_pair=wp,
        between_pair=between,
        background=bg,
        local_global=local_global,
    )


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
        terms.append(1 - score if form == "paper" else -score.clamp_min(_TINY).log())
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


def _wide(values: Tensor) -> Tensor:
    """Values of half precision in single precision, others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


_STAGES = {score.__name__: score for score in (within_object, within_pair, between_pair)}
