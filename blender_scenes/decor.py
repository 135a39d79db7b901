"""Backgrounds: their colours, what is arranged in them, and the one picture that paints each."""

from __future__ import annotations

from dataclasses import dataclass

from samediff_stimuli.blender_scenes.data import Picture
from samediff_stimuli.blender_scenes.pictures import Field, Rgb, atlas, painting, plain, spine

BOOKS = 12  # kinds of backs of books

TILE_NAMES = (
    "wall", "accent", "white", "wood", "dark", "sofa", "cushion", "leaf", "pot", "shade",
    "metal", "rug", "hedge", "grass", "ceramic", "curtain", "art 0", "art 1", "art 2",
    *(f"book {k}" for k in range(BOOKS)),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Decor:
    """Colours and arrangement of a background; colours are sRGB.

    Attributes:
        name: e.g. "sage"; it seeds what differs at random.
        wall: of three walls.
        accent: of the back wall.
        wood: of the furniture.
        sofa: of the seat.
        cushion: on it, and of the rug.
        pot: of the plant.
        books: that the backs of books are drawn from.
        art: two colours of the pictures.
        arrangement: 0 shelf and pictures, 1 sofa, 2 sideboard.
        mirrored: whether left and right are exchanged.
        floor: number of the floor in `pictures.FLOORS`.
    """

    name: str
    wall: Rgb
    accent: Rgb
    wood: Rgb
    sofa: Rgb
    cushion: Rgb
    pot: Rgb
    books: tuple[Rgb, ...]
    art: tuple[Rgb, Rgb]
    arrangement: int
    mirrored: bool
    floor: int


_WARM = ((122, 47, 42), (183, 121, 58), (216, 201, 163), (148, 65, 58), (74, 52, 44))
_COOL = ((46, 74, 99), (63, 90, 67), (201, 197, 187), (88, 108, 128), (62, 56, 78))
WALLS = (
    Decor(
        name="sage", wall=(232, 225, 212), accent=(176, 188, 170), wood=(146, 102, 64),
        sofa=(109, 127, 140), cushion=(196, 120, 72), pot=(176, 96, 60), books=_WARM + _COOL,
        art=((42, 93, 132), (201, 99, 47)), arrangement=0, mirrored=False, floor=0,
    ),
    Decor(
        name="blue", wall=(234, 232, 226), accent=(122, 146, 166), wood=(96, 66, 46),
        sofa=(200, 188, 168), cushion=(196, 150, 62), pot=(222, 218, 208), books=_COOL,
        art=((196, 150, 62), (40, 66, 92)), arrangement=1, mirrored=False, floor=1,
    ),
    Decor(
        name="clay", wall=(236, 226, 210), accent=(204, 156, 128), wood=(110, 74, 50),
        sofa=(96, 104, 84), cushion=(224, 208, 180), pot=(70, 84, 78), books=_WARM,
        art=((96, 112, 84), (150, 70, 48)), arrangement=2, mirrored=False, floor=0,
    ),
    Decor(
        name="white", wall=(238, 236, 231), accent=(226, 222, 213), wood=(186, 150, 108),
        sofa=(128, 76, 62), cushion=(60, 84, 92), pot=(92, 92, 96), books=_WARM + _COOL,
        art=((52, 60, 72), (204, 164, 84)), arrangement=0, mirrored=True, floor=1,
    ),
    Decor(
        name="green", wall=(230, 228, 216), accent=(92, 116, 100), wood=(164, 118, 76),
        sofa=(146, 84, 60), cushion=(228, 214, 186), pot=(204, 190, 168), books=_COOL + _WARM,
        art=((204, 176, 110), (58, 92, 74)), arrangement=1, mirrored=True, floor=0,
    ),
    Decor(
        name="grey", wall=(232, 230, 227), accent=(156, 158, 160), wood=(78, 58, 46),
        sofa=(70, 86, 104), cushion=(178, 72, 58), pot=(186, 110, 70), books=_COOL,
        art=((178, 72, 58), (66, 80, 96)), arrangement=2, mirrored=True, floor=1,
    ),
    Decor(
        name="ochre", wall=(236, 230, 216), accent=(206, 172, 112), wood=(88, 60, 42),
        sofa=(84, 92, 98), cushion=(214, 196, 160), pot=(86, 96, 104), books=_WARM + _COOL,
        art=((60, 84, 104), (170, 92, 60)), arrangement=1, mirrored=False, floor=1,
    ),
    Decor(
        name="rose", wall=(236, 229, 224), accent=(198, 168, 160), wood=(172, 132, 94),
        sofa=(112, 120, 104), cushion=(150, 84, 84), pot=(214, 206, 196), books=_COOL + _WARM,
        art=((132, 72, 74), (104, 124, 116)), arrangement=0, mirrored=False, floor=0,
    ),
)  # fmt: skip


def background_picture(number: int) -> Picture:
    """The colours of background `WALLS[number]`, a tile for each of TILE_NAMES.

    Returns:
        (512, 512, 3) uint8 sRGB.
    """
    decor = WALLS[number]
    same = {
        "wall": (decor.wall, 0.03), "accent": (decor.accent, 0.04),
        "white": ((240, 238, 232), 0.02),
        "dark": ((38, 33, 29), 0.15), "sofa": (decor.sofa, 0.16), "cushion": (decor.cushion, 0.16),
        "leaf": ((62, 98, 48), 0.5), "pot": (decor.pot, 0.12), "shade": ((240, 224, 190), 0.05),
        "metal": ((150, 122, 80), 0.1), "rug": (decor.cushion, 0.3), "hedge": ((72, 92, 48), 1.0),
        "grass": ((120, 132, 78), 0.5), "ceramic": ((206, 200, 188), 0.1),
        "curtain": ((232, 226, 214), 0.06),
    }  # fmt: skip
    tiles: list[Field] = []
    for name in TILE_NAMES:
        kind, _, which = name.partition(" ")
        if kind == "book":
            chosen = decor.books[int(which) % len(decor.books)]
            tiles.append(spine(name, chosen, ((214, 190, 128), (232, 226, 210))[int(which) % 2]))
        elif kind == "art":
            tiles.append(painting(f"{decor.name} {name}", (226, 216, 196), *decor.art))
        elif kind == "wood":
            tiles.append(plain("wood", decor.wood, 0.2, 4, 64))
        else:
            tiles.append(plain(name, *same[name]))
    return atlas(tiles)
