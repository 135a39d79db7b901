"""Attention and roles of made-up images, for tests that know the answers."""

import torch

from samediff_stimuli.models.attention import Roles

TOKENS = 12  # a class token, then 11 patches
PLACES = {0: (1, 2), 1: (3, 4), 2: (5, 6), 3: (7, 8)}  # tokens of each object; 9 to 11 are ground


def roles_of(n_objects=2, n=1):
    """Roles of n images that show the first objects of PLACES."""
    objects = torch.zeros(n, n_objects, TOKENS, dtype=torch.bool)
    for number in range(n_objects):
        objects[:, number, list(PLACES[number])] = True
    ground = ~objects.any(dim=1)
    ground[:, 0] = False
    pairs = tuple((a, a + 1) for a in range(0, n_objects, 2))
    return Roles(objects=objects, background=ground, pairs=pairs)


def attention_to(targets, n=1, heads=3):
    """Attention whose every row is spread evenly over target tokens."""
    row = torch.zeros(TOKENS)
    row[list(targets)] = 1 / len(targets)
    return row.expand(n, heads, TOKENS, TOKENS).clone()


def own(n_objects=2):
    """Attention of object tokens to their own object, even; of other tokens to the class token."""
    attention = attention_to([0])
    for number in range(n_objects):
        for token in PLACES[number]:
            attention[:, :, token] = 0
            attention[:, :, token, list(PLACES[number])] = 0.5
    return attention


def random_attention(n=2, heads=3, **options):
    """Attention of random logits."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, heads, TOKENS, TOKENS, generator=generator, **options).softmax(dim=-1)
