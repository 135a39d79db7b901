"""What each of the eight objects with several sides shows, counted on its mesh."""

import numpy as np
import pytest

from samediff_stimuli.blender_scenes.data import NO_CORNER, Mesh
from samediff_stimuli.blender_scenes.meshes import canonical
from samediff_stimuli.blender_scenes.objects import (
    alarm_clock,
    bird_house,
    cactus,
    desk_lamp,
    die,
    rubber_duck,
    toy_car,
    watering_can,
)
from samediff_stimuli.blender_scenes.shapes import egg, skin, united

MODULES = (die, toy_car, cactus, desk_lamp, rubber_duck, watering_can, bird_house, alarm_clock)
MESHES = {module.MODEL.name: module.MODEL.build() for module in MODULES}


def _pieces(mesh: Mesh, material: int) -> list[np.ndarray]:
    """The vertices of each connected piece of a material, vertices at one place taken as one."""
    places, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    index = index.ravel()
    parent = np.arange(len(places))

    def root(i):
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    used = set()
    for face in mesh.faces[mesh.material == material]:
        corners = [int(index[i]) for i in face if i != NO_CORNER]
        used.update(corners)
        for other in corners[1:]:
            parent[root(other)] = root(corners[0])
    groups: dict[int, list[int]] = {}
    for i in used:
        groups.setdefault(root(i), []).append(i)
    return [places[sorted(group)] for group in groups.values()]


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.MODEL.name)
def test_names_sizes_and_repeats(module):
    """A model is named as its file, has 600 to 12,000 faces, and builds the same mesh twice."""
    model, mesh = module.MODEL, MESHES[module.MODEL.name]
    assert module.__name__.endswith(f".{model.name}")
    assert not model.symmetric
    assert 600 <= len(mesh.faces) <= 12_000
    assert model.build().digest() == mesh.digest()
    assert set(np.unique(mesh.material).tolist()) == set(range(len(model.materials)))


def test_pictures_repeat_and_vary():
    """Every picture is the same when made again, and is not one plain colour."""
    for module in MODULES:
        for material in module.MODEL.materials:
            if material.picture is not None:
                picture = material.picture()
                assert picture.dtype == np.uint8
                assert picture.shape[2] == 3
                assert (picture == material.picture()).all()
                assert picture.std() > 3


def test_die_has_21_pips_and_opposite_sides_add_to_seven():
    """The sides show 1 to 6, opposite ones add to seven, and all pips are hollow."""
    pips = _pieces(MESHES["die"], 1)
    assert len(pips) == 21
    middle = np.array([0.0, 0.0, die.HALF])
    shown: dict[tuple[int, int], int] = {}
    for pip in pips:
        place = pip.mean(axis=0) - middle
        axis = int(np.abs(place).argmax())
        side = axis, int(np.sign(place[axis]))
        shown[side] = shown.get(side, 0) + 1
        assert np.abs(pip[:, axis] - middle[axis]).max() <= die.HALF + 1e-6
        assert np.ptp(pip[:, axis]) == pytest.approx(die.DEPTH, rel=0.15)
    assert sorted(shown.values()) == [1, 2, 3, 4, 5, 6]
    assert all(shown[axis, 1] + shown[axis, -1] == 7 for axis in range(3))


def test_die_is_closed():
    """Every edge of the die lies on two faces that run along it in opposite ways."""
    assert _open_edges(MESHES["die"]) == 0


def _open_edges(mesh):
    """How many edges have no partner that runs the other way."""
    _, index = np.unique(mesh.vertices, axis=0, return_inverse=True)
    index = index.ravel()
    edges: dict[tuple[int, int], int] = {}
    for face in mesh.faces:
        corners = [int(index[i]) for i in face if i != NO_CORNER]
        for a, b in zip(corners, [*corners[1:], corners[0]], strict=True):
            edges[a, b] = edges.get((a, b), 0) + 1
    return sum(edges.get((b, a), 0) != n for (a, b), n in edges.items())


def test_car_stands_on_four_wheels_with_hub_caps():
    """Four tyres touch the table at the corners; each holds a chrome cap on its outer side."""
    mesh = MESHES["toy_car"]
    tyres = _pieces(mesh, toy_car.RUBBER)
    assert len(tyres) == 4
    corners = {tuple(np.sign(tyre.mean(axis=0)[:2]).tolist()) for tyre in tyres}
    assert len(corners) == 4
    assert all(tyre[:, 2].min() == 0 for tyre in tyres)
    chrome = _pieces(mesh, toy_car.CHROME)
    for tyre in tyres:
        middle = (tyre.min(axis=0) + tyre.max(axis=0)) / 2
        caps = [c for c in chrome if np.abs(c.mean(axis=0) - middle).max() < 0.1]
        assert len(caps) == 1
        assert np.abs(caps[0][:, 1]).max() > np.abs(tyre[:, 1]).max()


def test_car_shows_its_front():
    """White lamps in front, red lamps behind, and the body keeps clear of the tyres."""
    mesh = MESHES["toy_car"]
    assert all(lamp[:, 0].min() > 0.8 for lamp in _pieces(mesh, toy_car.LAMP))
    assert all(lamp[:, 0].max() < -0.8 for lamp in _pieces(mesh, toy_car.TAIL))
    assert len(_pieces(mesh, toy_car.LAMP)) == len(_pieces(mesh, toy_car.TAIL)) == 2
    body = max(_pieces(mesh, toy_car.PAINT), key=len)
    for x, side in toy_car.WHEELS:
        axle = np.hypot(body[:, 0] - x, body[:, 2] - toy_car.WHEEL)
        beside = np.abs(body[:, 1] - side * 0.36) < 0.06
        assert axle[beside].min() > toy_car.WHEEL


def test_car_has_gaps_round_doors_bonnet_and_boot():
    """A gap lies on each side between the wheels, one in front and one behind, close to paint."""
    mesh = MESHES["toy_car"]
    gaps = _pieces(mesh, toy_car.GAP)
    doors = [p for p in gaps if np.ptp(p[:, 2]) > 0.2]
    assert sorted(np.sign(p[:, 1].mean()) for p in doors) == [-1, 1]
    ends = sorted((p for p in gaps if p[:, 2].min() > 0.5), key=lambda p: p[:, 0].mean())
    assert len(ends) == 2
    assert ends[0][:, 0].max() < -0.6
    assert ends[1][:, 0].min() > 0.3
    body = max(_pieces(mesh, toy_car.PAINT), key=len)
    for gap in (*doors, *ends):
        away = np.sqrt(((gap[:, None] - body[None]) ** 2).sum(axis=2)).min(axis=1)
        assert away.max() < toy_car.STEP


def test_car_has_bars_across_its_nose():
    """Three chrome bars between the headlights lie in a frame before a dark sheet."""
    mesh = MESHES["toy_car"]
    nose = [p for p in _pieces(mesh, toy_car.CHROME) if p[:, 0].min() > 0.85]
    nose = [p for p in nose if 0.28 < np.ptp(p[:, 1]) < 0.4 and p[:, 2].min() > 0.28]
    assert len(nose) == 4
    (sheet,) = [p for p in _pieces(mesh, toy_car.GAP) if p[:, 0].min() > 0.85]
    assert min(p[:, 0].max() for p in nose) > sheet[:, 0].min()
    assert np.ptp(np.concatenate(nose)[:, 2]) > np.ptp(sheet[:, 2])


def test_cactus_has_a_trunk_two_arms_and_a_flower():
    """Three green pieces grow out of one pot, and petals sit above them all."""
    mesh = MESHES["cactus"]
    green = _pieces(mesh, cactus.SKIN)
    assert len(green) == 3
    assert len(_pieces(mesh, cactus.POT)) == 1
    assert len(_pieces(mesh, cactus.SPINE)) > 300
    assert max(p[:, 2].max() for p in green) < min(
        p[:, 2].max() for p in _pieces(mesh, cactus.PETAL)
    )


def test_lamp_shines_down_and_ahead():
    """The bulb lies inside the shade, whose opening is lower and further ahead than its top."""
    mesh = MESHES["desk_lamp"]
    (bulb,) = _pieces(mesh, desk_lamp.BULB)
    shade = max(_pieces(mesh, desk_lamp.ENAMEL), key=lambda p: p[:, 2].max())
    assert (shade.min(axis=0) <= bulb.min(axis=0) + 0.02).all()
    assert (shade.max(axis=0) >= bulb.max(axis=0) - 0.02).all()
    assert desk_lamp.MODEL.materials[desk_lamp.BULB].emission > 0
    lowest, highest = shade[shade[:, 2].argmin()], shade[shade[:, 2].argmax()]
    inside = max(_pieces(mesh, desk_lamp.WHITE), key=len).mean(axis=0)
    assert inside[0] > highest[0]
    assert lowest[2] < bulb.mean(axis=0)[2]


def test_duck_is_one_body_with_two_large_eyes():
    """Head, wings and tail are one closed piece; a pupil each side is a tenth of its height."""
    mesh = MESHES["rubber_duck"]
    assert len(_pieces(mesh, 0)) == len(_pieces(mesh, 1)) == 1
    pupils = sorted(_pieces(mesh, 2), key=lambda p: p[:, 1].mean())
    assert len(pupils) == 2
    assert pupils[0][:, 1].mean() == pytest.approx(-pupils[1][:, 1].mean(), abs=1e-6)
    height = mesh.vertices[:, 2].max()
    assert all(np.ptp(p[:, 2]) > height / 10 for p in pupils)
    only = mesh.material == 0
    body = Mesh(
        vertices=mesh.vertices,
        faces=mesh.faces[only],
        uv=mesh.uv[only],
        material=mesh.material[only],
        smooth=mesh.smooth[only],
    )
    assert _open_edges(body) == 0


def test_can_has_a_rose_with_41_holes_and_two_handles():
    """Holes face along the rose; one handle rises above the rim, one reaches behind the can."""
    mesh = MESHES["watering_can"]
    holes = [p for p in _pieces(mesh, watering_can.DARK) if np.ptp(p[:, 2]) < 0.1]
    assert len(holes) == 41
    assert all(p[:, 0].min() > 0.6 for p in holes)
    loops = [p for p in _pieces(mesh, watering_can.RIM) if np.ptp(p[:, 1]) < 0.15]
    can = watering_can.SHIFT
    assert sum(p[:, 2].max() > 1.1 for p in loops) == 1
    assert sum(p[:, 0].min() < can - 0.6 and p[:, 2].max() < 0.9 for p in loops) == 1


def test_bird_house_has_a_hole_and_a_perch_below_it():
    """No plank covers the hole; behind it is only the dark; the perch sticks out below."""
    mesh = MESHES["bird_house"]
    x, z = bird_house.HOLE
    corners = np.where(mesh.faces == NO_CORNER, mesh.faces[:, :1], mesh.faces)
    points = mesh.vertices[corners]
    low, high = points.min(axis=1), points.max(axis=1)
    over = (low[:, 0] <= x) & (x <= high[:, 0]) & (low[:, 2] <= z) & (z <= high[:, 2])
    ahead = over & (high[:, 1] < bird_house.DEPTH / 2)
    assert set(mesh.material[ahead].tolist()) == {bird_house.DARK}
    perch = min(_pieces(mesh, bird_house.PALE), key=lambda p: p[:, 1].min())
    assert perch[:, 2].max() < z - bird_house.RADIUS
    assert perch[:, 1].min() < -bird_house.DEPTH - 0.15


def test_bird_house_roof_covers_its_walls():
    """Seen from above, the roof hides every wall."""
    mesh = MESHES["bird_house"]
    roof = mesh.vertices[np.unique(mesh.faces[mesh.material == bird_house.ROOF][:, :3])]
    walls = mesh.vertices[np.unique(mesh.faces[mesh.material == bird_house.PLANKS][:, :3])]
    assert (roof.min(axis=0)[:2] < walls.min(axis=0)[:2]).all()
    assert (roof.max(axis=0) > walls.max(axis=0)).all()


def test_clock_has_two_bells_two_hands_and_sixty_marks():
    """Bells stand either side of the top; black pieces are 60 marks, a small ring, two hands."""
    mesh = MESHES["alarm_clock"]
    bells = [p for p in _pieces(mesh, alarm_clock.COPPER) if p[:, 2].max() > 1.05]
    assert len(bells) == 2
    assert bells[0][:, 0].mean() * bells[1][:, 0].mean() < 0
    black = _pieces(mesh, alarm_clock.BLACK)
    assert len(black) == 63
    long = sorted((float(np.hypot(*np.ptp(p, axis=0)[[0, 2]])) for p in black), reverse=True)
    far = sorted((hand[1] + 0.06 for hand in alarm_clock.HANDS.values()), reverse=True)
    assert long[:2] == pytest.approx(far, rel=0.2)


def test_clock_shows_ten_past_ten():
    """The tips of the hands point to the left and to the right of the top."""
    mesh = MESHES["alarm_clock"]
    middle = np.array([0.0, mesh.vertices[:, 2].max()])
    dial = np.concatenate(_pieces(mesh, alarm_clock.DIAL))
    middle[1] = (dial[:, 2].min() + dial[:, 2].max()) / 2
    hands = [p for p in _pieces(mesh, alarm_clock.BLACK) if _holds(p, middle)]
    tips = []
    for hand in hands:
        flat = hand[:, [0, 2]] - middle
        tips.append(flat[(flat * flat).sum(axis=1).argmax()])
    tips.sort(key=lambda tip: float(np.hypot(*tip)))
    (hour, minute) = tips
    assert hour[0] < 0 < hour[1]
    assert (minute > 0).all()
    assert abs(minute[0] / minute[1] - np.sqrt(3)) < 0.1  # 60 degrees from the top


def test_clock_can_be_wound_behind():
    """Four rings of two keys, and two knobs, stand on a brass plate behind the case."""
    mesh = MESHES["alarm_clock"]
    (plate,) = _pieces(mesh, alarm_clock.BRASS)
    assert plate[:, 1].min() > 0
    rings = [p for p in _pieces(mesh, alarm_clock.STEEL) if p[:, 1].min() > plate[:, 1].max()]
    assert len(rings) == 4
    copper = _pieces(mesh, alarm_clock.COPPER)
    knobs = [p for p in copper if p[:, 1].min() > 0 and p[:, 2].min() > 0.3 and len(p) < 200]
    assert len(knobs) == 2


def _holds(points, middle):
    """Whether a piece lies across a point of the dial."""
    flat = points[:, [0, 2]] - middle
    return bool((flat.min(axis=0) < 0).all() and (flat.max(axis=0) > 0).all())


def test_skin_lies_on_the_field():
    """The surface of a ball is closed, looks outwards, and is a ball to a ten-thousandth."""
    ball = canonical(skin(egg((0.1, 0.2, 0.3), (0.5, 0.5, 0.5)), (-0.6, -0.5, -0.4),
                          (0.8, 0.9, 1.0), 0.07))  # fmt: skip
    away = ball.vertices - (0.1, 0.2, 0.3)
    assert np.abs(np.sqrt((away**2).sum(axis=1)) - 0.5).max() < 1e-4
    assert _open_edges(ball) == 0
    a, b, c, d = (ball.vertices[ball.faces[:, i]] - (0.1, 0.2, 0.3) for i in range(4))
    volume = (np.cross(a, b) * c).sum() / 6 + (np.cross(a, c) * d).sum() / 6
    assert volume == pytest.approx(np.pi / 6, rel=0.02)


def test_skin_refuses_a_body_that_leaves_its_box():
    """A box too small for its body is an error, not a hole."""
    with pytest.raises(ValueError, match="leaves the box"):
        skin(egg((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)), (-0.5, -0.5, -0.5), (0.5, 0.5, 0.5), 0.1)


def test_blend_fills_a_seam_and_nothing_else():
    """Between two balls a blend adds material; away from their seam it adds none."""
    left = egg((-0.4, 0.0, 0.0), (0.5, 0.5, 0.5))
    right = egg((0.4, 0.0, 0.0), (0.5, 0.5, 0.5))
    seam, far = np.array([[0.0, 0.32, 0.0]]), np.array([[-0.9, 0.0, 0.0]])
    soft, hard = united(left, right, blend=0.2), united(left, right)
    assert soft(seam)[0] < hard(seam)[0] - 0.02
    assert soft(far)[0] == hard(far)[0]
