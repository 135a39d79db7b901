"""Cut-outs: what they look like as arrays, that bytes are exact, and that files are never wrong."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from samediff_stimuli import InputError
from samediff_stimuli.blender_scenes import cutout_files, cutouts, shading, solids
from samediff_stimuli.blender_scenes.meshes import box, join
from samediff_stimuli.blender_scenes.objects import mesh_of, registry
from samediff_stimuli.families.cutouts import averaged, squared

SIZE = 48
MODELS = list(registry())


@pytest.fixture(scope="module")
def pictures():
    """The first three objects of each model, small."""
    return [cutout_files.kept(number, SIZE) for number in range(3 * len(MODELS))]


def test_objects_fill_their_squares(pictures):
    """An object is centred, reaches its margin along one axis, and leaves the margin clear."""
    margin = max(1, 3 * SIZE // 128)
    for picture in pictures:
        assert picture.shape == (SIZE, SIZE, 4)
        assert picture.dtype == np.uint8
        there = picture[..., 3] > 0
        rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
        for found in (rows, columns):
            before, after = found[0], SIZE - 1 - found[-1]
            assert before >= margin
            assert after >= margin
            assert abs(before - after) <= 1
        assert max(np.ptp(rows), np.ptp(columns)) + 1 >= SIZE - 2 * margin - 1


def test_objects_are_solid_and_shaded(pictures):
    """Each object has opaque pixels and soft edges, and light and dark among its pixels."""
    for picture in pictures:
        alpha = picture[..., 3]
        assert (alpha == 255).mean() > 0.05
        assert ((alpha > 0) & (alpha < 255)).any()
        light = picture[alpha == 255][:, :3].astype(int).sum(axis=1)
        assert np.percentile(light, 98) - np.percentile(light, 2) > 60


def thumbs(pictures):
    """(n, 1024): what `families.cutouts.check` compares."""
    small = [averaged(squared(picture.copy(), "it"), 16) for picture in pictures]
    return np.stack(small).reshape(len(small), -1).astype(int)


def test_objects_look_different(pictures):
    """No two objects are nearly the same: twice as far apart as what a folder is refused for."""
    small = thumbs(pictures)
    apart = np.abs(small[:, None] - small[None]).mean(axis=2)
    assert apart[np.triu_indices(len(small), 1)].min() > 3


def test_variations_differ_where_it_shows():
    """Of 100 objects of a model, no two have nearly one form, hue, lightness and pattern."""
    for place in range(len(MODELS)):
        found = [cutouts.variation(place + len(MODELS) * turn) for turn in range(100)]
        assert {variation.model for variation in found} == {MODELS[place]}
        looks = np.array([
            (v.wide[1] / 100, v.wide[2] / 100, v.taper / 130, v.bulge / 80, v.light / 200,
             3 * (v.pattern != "own"), v.finish) for v in found
        ])  # fmt: skip
        hue = np.array([v.hue for v in found]) / 30
        turn = np.abs(hue[:, None] - hue[None])
        turn = np.minimum(turn, 12 - turn)
        apart = np.abs(looks[:, None] - looks[None]).sum(axis=2) + turn
        assert apart[np.triu_indices(100, 1)].min() > 1.5


def test_variations_are_spread():
    """All kinds of patterns and finishes occur, and hues are even around the circle."""
    found = [cutouts.variation(number) for number in range(1600)]
    assert len(set(found)) == 1600
    assert {v.pattern for v in found} == {"own", "bands", "stripes", "checks", "dots", "clouds"}
    assert len({v.finish for v in found}) == 14
    counts = np.bincount([v.hue // 30 for v in found], minlength=12)
    assert counts.min() > 100
    assert all(0 <= v.azimuth < 360 and 0 < v.elevation < 60 for v in found)


def test_an_object_depends_on_its_number_alone(pictures):
    """Objects made in another order, or in another process, are the same to the byte."""
    numbers = [40, 7, 0]
    for number in numbers:
        assert np.array_equal(cutouts.cutout(number, SIZE), pictures[number])
    code = (
        "from samediff_stimuli.blender_scenes import cutout_files as f, cutouts as c\n"
        f"print(*(f.digest(c.cutout(n, {SIZE})) for n in {numbers}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [cutout_files.digest(pictures[number]) for number in numbers]


def test_goldens_of_objects(pictures):
    """Pixels are what they have always been; if not, raise `BUILT_IN` of the naturalistic set."""
    found = {MODELS[n % 16]: cutout_files.digest(pictures[n])[:16] for n in (3, 5, 6, 26, 28, 45)}
    assert found == GOLDENS


GOLDENS = {
    "spinning_top": "d25c0176a9936cec",
    "mug": "e7948669b52c9e58",
    "teapot": "c5008a55ef80455c",
    "cactus": "b13f6744fc9fb7d1",
    "rubber_duck": "afed0463508fadc5",
    "watering_can": "26cc7432ff45d7f6",
}


@pytest.mark.parametrize("number", [-1, 10**6])
def test_numbers_out_of_range(number):
    """There is no such object: one line that says which there are."""
    with pytest.raises(InputError, match=f"object {number} is out of range; legal: 0 .. 999999"):
        cutouts.cutout(number)


@pytest.mark.parametrize("size", [15, 513])
def test_sizes_out_of_range(size):
    """There is no such size: one line that says which there are."""
    with pytest.raises(InputError, match=f"size {size} is out of range; legal: 16 .. 512"):
        cutouts.cutout(0, size)


def test_tables_of_srgb():
    """Coding and decoding follow IEC 61966-2-1, and every byte comes back."""
    coded = np.arange(4096) / 4095
    exact = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    assert np.abs(shading.decoding() - exact).max() < 1e-6
    linear = np.arange(4096) / 4095
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    away = np.abs(shading.encoding() - coded * 255)
    assert (away <= 0.501 + np.gradient(coded * 255) / 2).all()  # half a byte and half a step
    assert shading.coded(1.0) == 1


def test_ready_meshes_keep_their_surface():
    """Cutting edges leaves no long one, the same area, and neighbours that still meet."""
    mesh = mesh_of("bird_house")
    thing = solids.solid(mesh)
    a, b, c = thing.points[thing.corners]
    for start, end in ((a, b), (b, c), (c, a)):
        assert np.sqrt(((end - start) ** 2).sum(axis=1)).max() <= 0.14
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    quads = mesh.faces[mesh.faces[:, 3] >= 0]
    corners = np.concatenate([mesh.faces[:, :3], quads[:, [0, 2, 3]]])
    p, q, r = (mesh.vertices[corners[:, i]] for i in range(3))
    assert area == pytest.approx(np.linalg.norm(np.cross(q - p, r - p), axis=1).sum() / 2)


def test_light_reaches_what_is_open():
    """A lone block is open all over, its underside too; a floor under a roof is not."""
    roofed = join([(box((1.0, 1.0, 0.1)), 0)])
    block = solids.solid(roofed)
    assert block.ambient.min() > 0.9
    under = box((1.0, 1.0, 0.1))
    over = box((1.0, 1.0, 0.1))
    over = type(over)(
        vertices=over.vertices + np.array([0.0, 0.0, 0.3]), faces=over.faces, uv=over.uv,
        material=over.material, smooth=over.smooth,
    )  # fmt: skip
    thing = solids.solid(join([(under, 0), (over, 0)]))
    x, y, z = thing.points.T
    inside = (np.abs(x) < 0.2) & (np.abs(y) < 0.2)
    between = inside & (np.abs(z - 0.15) < 0.11)
    outside = inside & ((z < -0.049) | (z > 0.349))
    assert thing.ambient[between].max() < 0.5
    assert thing.ambient[outside].min() > 0.9


def test_the_nearest_triangle_wins():
    """Of two triangles over a sample the nearer counts; one seen from behind never does."""
    x, y = np.array([0.0, 8.0, 0.0] * 3), np.array([0.0, 0.0, 8.0] * 3)
    near = np.repeat([0.3, 0.6, 0.9], 3)
    corners = np.array([[0, 1, 2], [3, 4, 5], [6, 8, 7]]).T  # the last runs clockwise
    keys, _ = solids.nearest(x, y, near, corners, 8)
    numbers = (1 << solids.BITS) - 1 - (keys & ((1 << solids.BITS) - 1))
    keys, numbers = keys.reshape(8, 8), numbers.reshape(8, 8)
    row, column = np.mgrid[:8, :8]
    assert np.array_equal(keys > 0, row + column + 1 <= 8)
    assert (numbers[keys > 0] == 1).all()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty folder for files."""
    monkeypatch.setenv("SAMEDIFF_STIMULI_CACHE", str(tmp_path))
    return tmp_path


def test_files_are_made_once(cache, monkeypatch):
    """What was made is read back, pixel for pixel, under a name that says what it is."""
    first = cutout_files.kept(0, 32)
    (file,) = cache.rglob("*.png")
    assert file.name == "0000-pawn.png"
    assert file.parent == cutout_files.folder(32)
    monkeypatch.setattr(cutouts, "cutout", lambda number, size: pytest.fail("made again"))
    assert np.array_equal(cutout_files.kept(0, 32), first)


def cut(file):
    file.write_bytes(file.read_bytes()[:-200])


def other_pixels(file):
    with Image.open(file) as opened:
        pixels, text = np.array(opened), dict(opened.info)
    pixels[16, 16] ^= 1
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("sha256", text["sha256"])
    Image.fromarray(pixels).save(file, pnginfo=info)


def no_text(file):
    with Image.open(file) as opened:
        pixels = np.array(opened)
    Image.fromarray(pixels).save(file)


def another_object(file):
    Image.fromarray(np.zeros((16, 16, 4), np.uint8)).save(file)


@pytest.mark.parametrize("spoil", [cut, other_pixels, no_text, another_object])
def test_damaged_files_are_made_again(cache, spoil):
    """A file that is cut, changed, without its digest or of another size is never used."""
    first = cutout_files.kept(0, 32)
    (file,) = cache.rglob("*.png")
    spoil(file)
    assert np.array_equal(cutout_files.kept(0, 32), first)
    with Image.open(file) as opened:
        assert np.array_equal(np.array(opened), first)


def test_many_may_make_files_at_once(cache):
    """Makers that race for the same files all get the same pixels, and leave nothing behind."""
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda number: cutout_files.kept(number, 32), [0, 1] * 4))
    assert all(np.array_equal(a, b) for a, b in zip(found, found[2:], strict=False))
    assert len(list(cutout_files.folder(32).iterdir())) == 2


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    """If there is a file where the user's cache should be, another place is found."""
    (tmp_path / "file").write_text("")
    monkeypatch.delenv("SAMEDIFF_STIMULI_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    place = cutout_files.folder(32)
    assert tmp_path not in place.parents
    assert np.array_equal(cutout_files.kept(0, 32), cutouts.cutout(0, 32))
