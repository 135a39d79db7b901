"""Attention-pattern scores: what of the attention that leaves an object stays within it, or not.

Attention is (n, heads, tokens, tokens) of any library, rows are queries. Class and register tokens
belong to no object and not to the background. Source: Lepori, Tartaglini et al. 2024 (arXiv
2406.15955), called the paper, and its authors' code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from samediff_stimuli.loaders.labels import TokenLabels
from samediff_stimuli.recipe import InputError

FORMS = ("paper", "code")
TINY = 1e-12  # below every share that is not 0


@dataclass(frozen=True, kw_only=True, eq=False)
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

    @classmethod
    def of(cls, labels: TokenLabels) -> Roles:
        """The roles that a batch's token labels give.

        Args:
            labels: see `samediff_stimuli.loaders.labels`.

        Raises:
            InputError: if objects do not come in pairs.
        """
        k = labels.objects.shape[1]
        if not labels.pairs:
            raise InputError(f"{k} objects make no pairs; attention patterns need 2, 4 or 6")
        return cls(objects=labels.objects, background=labels.background, pairs=labels.pairs)

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
    attention = widened(attention)
    sources = roles.objects[:, list(roles.partner)].to(attention.dtype)
    leaving = _sum("nkq,nhqt->nhkt", sources, attention)
    total = leaving.sum(dim=-1)
    if denominator == "code":
        total = total * sources.sum(dim=-1)[:, None]
    return leaving, total.clamp_min(TINY)


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


@dataclass(frozen=True, kw_only=True, eq=False)
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


def widened(values: Tensor) -> Tensor:
    """Values of half precision in single precision, others as they are."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
