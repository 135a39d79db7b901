"""The renderer in another process, tried with workers that need no bpy."""

import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from samediff_stimuli.blender_scenes.data import Camera, Light, Pose, Room, Scene
from samediff_stimuli.blender_scenes.process import RendererProcess, RenderingError, pixels_of
from samediff_stimuli.blender_scenes.worker import PNG_START, png_of, receive, send, serve
from samediff_stimuli.recipe import InputError

# A worker that shows a scene's seed as grey; seeds that ask for it crash, once or each time.
FAKE = """
import json, os, pathlib, signal, sys
import numpy as np
from samediff_stimuli.blender_scenes.worker import send_note, serve
from samediff_stimuli.recipe import InputError

marks = pathlib.Path(sys.argv[1])
class Grey:
    def render(self, scene, models):
        if scene.seed == 1:
            raise InputError("room: table 9 is out of range")
        if scene.seed == 2:
            raise ValueError("a bad face")
        if scene.seed == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if scene.seed == 4 and not (marks / "crashed").exists():
            (marks / "crashed").touch()
            print("Segmentation fault", file=sys.stderr)
            os._exit(11)
        return np.full((scene.size, scene.size, 3), scene.seed, np.uint8)
print("a stray line", file=sys.stderr)
send_note(sys.stdout.buffer, about={"bpy": "fake"}, tell="renders grey")
serve(sys.stdin.buffer, sys.stdout.buffer, Grey(), {})
"""


def scene(seed):
    """A scene of which only the seed matters here."""
    return Scene(
        objects=(Pose(model="mug", x=0.5, y=-0.25, turn=30.0),),
        camera=Camera(position=(0.0, -6.0, 3.0), target=(0.0, 0.0, 0.4), lens=50.0, f_stop=4.0,
                      focus=6.0),
        light=Light(azimuth=8.0, elevation=30.0, sun=5.0, sky=1.3),
        room=Room(table=0, wall=0, shift=0.0),
        size=8,
        samples=4,
        seed=seed,
    )  # fmt: skip


@pytest.fixture
def fake(tmp_path):
    """Makes renderer processes with the fake worker; what they told is in `told`."""

    def make(**options):
        command = [sys.executable, "-c", FAKE, str(tmp_path)]
        return RendererProcess(command=command, tell=make.told.append, **options)

    make.told = []
    return make


def test_pictures_come_back_as_they_were_rendered(fake):
    """Scenes are answered in order with their own pixels, and the worker says what it is."""
    with fake() as renderer:
        for seed in (70, 5, 70, 255):
            picture = renderer.render(scene(seed))
            assert picture.shape == (8, 8, 3)
            assert (picture == seed).all()
        assert renderer.about() == {"bpy": "fake"}
    assert fake.told == ["renders grey"]


def test_a_crash_is_survived(fake):
    """After a crash a new worker renders the same scene, and the crash is told in one line."""
    with fake() as renderer:
        assert (renderer.render(scene(4)) == 4).all()
        assert (renderer.render(scene(9)) == 9).all()
    assert fake.told[1] == "the renderer ended with code 11: Segmentation fault; starting it again"
    assert len(fake.told) == 3


def test_a_scene_that_always_crashes_is_given_up(fake):
    """After the allowed restarts one line says what killed the renderer; the next scene works."""
    with fake(restarts=1) as renderer:
        with pytest.raises(RenderingError, match=r"^the renderer was killed by SIGKILL, perhaps for"
                           r" want of memory, 2 times on scene [0-9a-f]{12}; [^\n]+$"):  # fmt: skip
            renderer.render(scene(3))
        assert (renderer.render(scene(6)) == 6).all()


def test_errors_of_a_scene_come_back_without_a_restart(fake):
    """A wrong scene raises InputError, a failure RenderingError, and the worker goes on."""
    with fake() as renderer:
        with pytest.raises(InputError, match=r"^room: table 9 is out of range$"):
            renderer.render(scene(1))
        with pytest.raises(RenderingError, match=r"^rendering failed: ValueError: a bad face$"):
            renderer.render(scene(2))
        assert (renderer.render(scene(7)) == 7).all()
    assert len(fake.told) == 1


def test_an_interpreter_that_cannot_render_is_named():
    """A missing interpreter, or one without this package, is an InputError of one line."""
    with pytest.raises(InputError, match=r"^/no/python cannot be run .*--blender-python"):
        RendererProcess(python="/no/python").__enter__()
    lacking = "raise SystemExit(\"ModuleNotFoundError: No module named 'samediff_stimuli'\")"
    command = [sys.executable, "-c", lacking]
    with pytest.raises(InputError, match=r"^/some/python lacks this package; run: /some/python -m"):
        RendererProcess(python="/some/python", command=command).__enter__()


def test_a_worker_that_cannot_start_says_why():
    """What the worker says in its first frame, e.g. that bpy is absent, is raised as it is."""
    code = (
        "import sys; from samediff_stimuli.blender_scenes.worker import send_note; "
        "send_note(sys.stdout.buffer, input_error='rendering needs bpy')"
    )
    with pytest.raises(InputError, match=r"^rendering needs bpy$"):
        RendererProcess(command=[sys.executable, "-c", code]).__enter__()
    with pytest.raises(InputError, match="the renderer ended with code 3; --blender-python names"):
        RendererProcess(command=[sys.executable, "-c", "raise SystemExit(3)"]).__enter__()
    with pytest.raises(InputError, match="does not render"):  # neither does one that only talks
        RendererProcess(command=[sys.executable, "-c", "print('y' * 100)"]).__enter__()


def test_an_interrupted_render_leaves_no_answer_behind(fake, monkeypatch):
    """After Ctrl-C in the middle of a render, the next scene gets its own picture."""

    def interrupted(self, line):
        self._worker.stdin.write(line)
        self._worker.stdin.flush()
        raise KeyboardInterrupt

    with fake() as renderer:
        with monkeypatch.context() as patch:
            patch.setattr(RendererProcess, "_ask", interrupted)
            with pytest.raises(KeyboardInterrupt):
                renderer.render(scene(77))
        assert (renderer.render(scene(9)) == 9).all()


def test_threads_get_their_own_pictures(fake):
    """Threads that share a renderer are answered one by one."""
    with fake() as renderer, ThreadPoolExecutor(4) as pool:
        seeds = [10 + seed % 90 for seed in range(200)]
        pictures = list(pool.map(lambda seed: renderer.render(scene(seed)), seeds))
    assert [int(picture[0, 0, 0]) for picture in pictures] == seeds


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (
            {"about": {"bpy": "other"}},
            "the renderer came back as 'renders', whose pixels are others",
        ),
        ({"sources": "0" * 64}, "has another version of this package"),
    ],
)
def test_another_renderer_is_refused(tmp_path, note, said):
    """A worker that is another after a crash, or runs other sources, renders nothing."""
    code = (
        "import os, pathlib, sys; from samediff_stimuli.blender_scenes.worker import send_note; "
        f"mark = pathlib.Path({str(tmp_path / 'mark')!r}); "
        f"note = {note!r} if mark.exists() else {{}}; mark.touch(); "
        "send_note(sys.stdout.buffer, **{'about': {'bpy': 'fake'}, 'tell': 'renders', **note}); "
        "sys.stdin.readline(); os._exit(11)"
    )
    renderer = RendererProcess(command=[sys.executable, "-c", code])
    with renderer, pytest.raises((RenderingError, InputError), match=said):
        renderer.render(scene(9))


def test_modules_of_the_working_folder_are_not_run(tmp_path, monkeypatch):
    """A file named like a library, where the command is typed, is not taken for it."""
    (tmp_path / "struct.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)
    command = RendererProcess("cpu")._command
    asked = [*command[: command.index("--device")], "--help"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_png_files_hold_the_pixels():
    """A PNG file gives its pixels back, also to Pillow; other files are refused."""
    from PIL import Image

    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    png = png_of(pixels)
    assert (pixels_of(png) == pixels).all()
    assert (np.asarray(Image.open(io.BytesIO(png))) == pixels).all()
    with pytest.raises(ValueError, match="not a PNG file"):
        pixels_of(b"GIF89a")


def test_frames_are_whole_or_absent():
    """Frames come back one by one; a stream that ends early gives None."""
    stream = io.BytesIO()
    send(stream, b"first")
    send(stream, b"")
    stream.seek(0)
    assert [receive(stream) for _ in range(3)] == [b"first", b"", None]
    assert receive(io.BytesIO(stream.getvalue()[:6])) is None


def test_serve_answers_every_line():
    """A line that is no scene is answered with a note, and the next line is rendered."""

    class Black:
        def render(self, given, models):
            return np.zeros((given.size, given.size, 3), np.uint8)

    out = io.BytesIO()
    good = json.dumps(scene(0).as_dict()).encode() + b"\n"
    serve([b"{}\n", b"no json\n", good], out, Black(), {})
    out.seek(0)
    assert json.loads(receive(out)) == {"error": "KeyError: 'objects'"}
    assert json.loads(receive(out))["error"].startswith("JSONDecodeError")
    assert receive(out).startswith(PNG_START)
