"""Rendering with bpy: small pictures, few samples."""

import builtins
import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from samediff_stimuli.blender_scenes import meshes, render
from samediff_stimuli.blender_scenes.data import (
    Camera,
    Light,
    Material,
    Model,
    Pose,
    Room,
    Scene,
)
from samediff_stimuli.blender_scenes.process import RendererProcess
from samediff_stimuli.blender_scenes.render import Renderer
from samediff_stimuli.recipe import InputError

SIZE = 48


def _ball():
    return meshes.join([(meshes.moved(meshes.ellipsoid((0.5, 0.5, 0.5)), (0.0, 0.0, 0.5)), 0)])


def _block():
    return meshes.join([(meshes.moved(meshes.box((0.9, 0.9, 0.9)), (0.0, 0.0, 0.45)), 0)])


def _checks():
    squares = np.indices((16, 16)).sum(axis=0) % 2
    return np.repeat((40 + 180 * squares)[..., None], 3, axis=2).astype(np.uint8)


def _model(name, build, **material):
    made = Material(name=name, **material)
    return Model(
        name=name, about=name, color="any", symmetric=False, materials=(made,), build=build
    )


MODELS = {
    "ball": _model("ball", _ball, color=(0.6, 0.02, 0.02), roughness=0.3, coat=1.0),
    "block": _model("block", _block, color=(0.5, 0.5, 0.5), picture=_checks, bump=0.02),
    "glass": _model("glass", _ball, color=(0.9, 0.95, 0.9), roughness=0.0, transmission=1.0),
    "wax": _model("wax", _block, color=(0.8, 0.7, 0.4), subsurface=0.5),
    "lamp": _model("lamp", _ball, color=(0.1, 0.3, 1.0), emission=4.0),
}
FIRST = Scene(
    objects=(
        Pose(model="ball", x=-0.7, y=-0.3, turn=200.0),
        Pose(model="block", x=0.7, y=0.4, turn=30.0),
    ),
    camera=Camera(
        position=(-2.0, -5.0, 3.2), target=(0.0, 0.0, 0.4), lens=50.0, f_stop=4.0, focus=6.0
    ),
    light=Light(azimuth=8.0, elevation=30.0, sun=5.0, sky=1.3),
    room=Room(table=0, wall=0, shift=0.0),
    size=SIZE,
    samples=1,
    seed=7,
)
OTHER = dataclasses.replace(
    FIRST,
    objects=(
        Pose(model="glass", x=0.2, y=-0.5, turn=0.0),
        Pose(model="wax", x=-0.9, y=0.6, turn=75.0, scale=0.8),
        Pose(model="lamp", x=1.2, y=1.0, turn=0.0),
    ),
    light=Light(azimuth=-15.0, elevation=36.0, sun=4.0, sky=1.0),
    room=Room(table=1, wall=1, shift=1.5),
    seed=8,
)


@pytest.fixture(scope="module")
def renderer():
    """One renderer for all tests of this module, on the CPU."""
    pytest.importorskip("bpy")
    told = []
    with Renderer("cpu", tell=told.append) as opened:
        opened.told = told
        yield opened


@pytest.fixture(scope="module")
def first(renderer):
    """The first scene's pixels."""
    return renderer.render(FIRST, MODELS)


@pytest.mark.blender
def test_a_picture_shows_the_scene(first):
    """A picture has the promised form, and a red ball to the left on a table lit by the sun."""
    assert first.shape == (SIZE, SIZE, 3)
    assert first.dtype == np.uint8
    red = (first[..., 0] > 2.0 * first[..., 1].astype(float)) & (first[..., 0] > 60)
    assert 40 < red.sum() < 400
    assert np.nonzero(red)[1].mean() < SIZE / 2
    assert 70 < first.mean() < 200
    assert first.std() > 25


@pytest.mark.blender
def test_order_makes_no_difference(renderer, first):
    """A scene has the same bytes after scenes with other objects, light, room and number."""
    other = renderer.render(OTHER, MODELS)
    assert (renderer.render(FIRST, MODELS) == first).all()
    assert (renderer.render(OTHER, MODELS) == other).all()
    assert np.abs(other.astype(int) - first).mean() > 10


@pytest.mark.blender
@pytest.mark.slow
def test_each_part_of_a_scene_shows(renderer, first):
    """Seed, turn, shift, table, light, focus: changing any of them changes the picture."""
    ball, block = FIRST.objects
    turned = (ball, dataclasses.replace(block, turn=60.0))
    changes = [
        {"seed": 9},
        {"objects": turned},
        {"objects": (ball,)},
        {"room": Room(table=0, wall=0, shift=2.0)},
        {"room": Room(table=2, wall=0, shift=0.0)},
        {"light": dataclasses.replace(FIRST.light, azimuth=-8.0)},
        {"camera": dataclasses.replace(FIRST.camera, f_stop=1.8)},
    ]
    for change in changes:
        picture = renderer.render(dataclasses.replace(FIRST, **change), MODELS)
        assert (picture != first).any(), change


@pytest.mark.blender
def test_wrong_scenes_are_refused_in_one_line(renderer, first):
    """An unknown model, table or wall is named with what is legal, and the next scene works."""
    wrong = {
        "unknown model 'mug'; known: ball": {
            "objects": (Pose(model="mug", x=0.0, y=0.0, turn=0.0),)
        },
        "table 99 is out of range; legal: 0": {"room": Room(table=99, wall=0, shift=0.0)},
        "wall -1 is out of range; legal: 0": {"room": Room(table=0, wall=-1, shift=0.0)},
    }
    for message, change in wrong.items():
        with pytest.raises(InputError, match=message):
            renderer.render(dataclasses.replace(FIRST, **change), MODELS)
    assert (renderer.render(FIRST, MODELS) == first).all()


@pytest.mark.blender
def test_it_says_what_it_is(renderer):
    """`about` names release, device and settings; one line told what was chosen."""
    about = renderer.about()
    assert about["bpy"] in render.TESTED
    assert about["device"] == "cpu"
    assert about["settings"]["cycles"]["use_adaptive_sampling"] is False
    assert len(renderer.told) == 1
    assert "renders on the CPU" in renderer.told[0]


@pytest.mark.blender
def test_settings_are_in_force(renderer):
    """What `about` says of the settings is what Blender has."""
    import bpy

    scene, settings = bpy.context.scene, renderer.about()["settings"]
    owners = {"cycles": scene.cycles, "render": scene.render, "view": scene.view_settings}
    for part, owner in owners.items():
        for key, value in settings[part].items():
            assert getattr(owner, key) == pytest.approx(value), key


@pytest.mark.blender
def test_a_gpu_that_is_not_there_is_refused(renderer):
    """Asking for a GPU that this machine lacks gives one line with what it has."""
    import bpy

    with render._silent():
        kinds = [kind for kind in ("HIP", "METAL") if not render._devices(_options(bpy), kind)]
        with pytest.raises(InputError, match=f"^device '{kinds[0].lower()}' is not there; found: "):
            render._choose(bpy, kinds[0].lower())
        render._choose(bpy, "cpu")


def _options(bpy):
    return bpy.context.preferences.addons["cycles"].preferences


@pytest.mark.blender
def test_only_one_renderer_a_process(renderer):
    """A second renderer is refused while one is open, and the first goes on."""
    with pytest.raises(RuntimeError, match="another Renderer is open"), Renderer("cpu"):
        pass


@pytest.mark.blender
def test_nothing_is_printed(renderer, capfd):
    """Rendering writes nothing to stdout or stderr, and both work afterwards."""
    renderer.render(FIRST, MODELS)
    print("still here")
    assert capfd.readouterr() == ("still here\n", "")


@pytest.mark.blender
@pytest.mark.slow
def test_forgotten_models_leave_nothing_behind(renderer, first, monkeypatch):
    """Models beyond those kept are removed with materials and images, and can come back."""
    import bpy

    from samediff_stimuli.blender_scenes import stage

    renderer.render(FIRST, MODELS)
    before = len(bpy.data.images), len(bpy.data.meshes), len(bpy.data.materials)
    monkeypatch.setattr(stage, "MODELS_KEPT", 2)
    for turn in range(3):
        name = f"other {turn}"
        more = {name: _model(name, _block, color=(0.2, 0.2, 0.2), picture=_checks)}
        alone = (Pose(model=name, x=0.0, y=0.0, turn=0.0),)
        renderer.render(dataclasses.replace(FIRST, objects=alone), more)
    assert (renderer.render(FIRST, MODELS) == first).all()
    after = len(bpy.data.images), len(bpy.data.meshes), len(bpy.data.materials)
    assert all(b <= a for a, b in zip(before, after, strict=True))


@pytest.mark.blender
@pytest.mark.slow
def test_processes_and_threads_make_no_difference(renderer):
    """Workers with one and with two threads, in either order, give this process's bytes."""
    from samediff_stimuli.blender_scenes.objects import registry

    names = list(registry())[:2]
    poses = tuple(
        dataclasses.replace(p, model=m) for p, m in zip(FIRST.objects, names, strict=True)
    )
    scenes = [
        dataclasses.replace(FIRST, objects=poses, samples=4),
        dataclasses.replace(OTHER, objects=poses[::-1], samples=4),
    ]
    wanted = [renderer.render(scene, registry()) for scene in scenes]
    for threads in (1, 2):
        with RendererProcess("cpu", threads=threads) as process:
            order = (0, 1) if threads == 1 else (1, 0)
            for k in order:
                assert (process.render(scenes[k]) == wanted[k]).all()
            assert process.about() == renderer.about()


def test_a_wrong_device_is_refused():
    """An unknown device is named with the known ones."""
    with pytest.raises(InputError, match="unknown device 'gpu'; known: auto, cpu, cuda"):
        Renderer("gpu")


def test_absent_bpy_is_one_line_that_says_what_to_install(monkeypatch):
    """Where bpy cannot be imported, InputError names the extra and the Python that it needs."""
    real = builtins.__import__

    def absent(name, *rest):
        if name == "bpy":
            raise ImportError("No module named 'bpy'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(
        InputError, match=r"Python 3\.11: pip install 'samediff-stimuli\[blender\]', or give --bl"
    ):
        render._load()


def test_other_releases_of_bpy_are_refused(monkeypatch):
    """A bpy that was not tried is named with the tested releases."""
    fake = type(sys)("bpy")
    fake.app = type("app", (), {"version": (4, 2, 0)})
    monkeypatch.setitem(sys.modules, "bpy", fake)
    with pytest.raises(InputError, match=r"^bpy 4\.2\.0 is not supported; tested: 4\.5\.15 and 5"):
        render._load()


def test_importing_needs_no_bpy():
    """All modules of the package can be imported without importing bpy."""
    code = (
        "import sys, samediff_stimuli.blender_scenes.render, "
        "samediff_stimuli.blender_scenes.stage, samediff_stimuli.blender_scenes.worker, "
        "samediff_stimuli.blender_scenes.process; sys.exit('bpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pictures_are_read_back_upright():
    """A TGA file's rows and channels are put in order; another size is refused."""
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    header = bytes([0, 0, 2, *[0] * 9, 2, 0, 2, 0, 24, 0])
    data = header + pixels[::-1, :, ::-1].tobytes()
    assert (render._pixels(data, 2) == pixels).all()
    with pytest.raises(RuntimeError, match="not 3 x 3"):
        render._pixels(data, 3)
