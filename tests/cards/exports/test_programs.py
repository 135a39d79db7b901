"""The two programs that show the trials: their pure parts, and their loops with simulated keys."""

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from samediff_stimuli import AlignedOptions, export, generate, make_recipe
from samediff_stimuli.cards.exports.trials import Trials
from samediff_stimuli.models.trials import agreement, read_trial_table

NODE = shutil.which("node")
with_node = pytest.mark.skipif(NODE is None, reason="the page's code runs in node here")


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Two lists of eight trials; tests must not change them."""
    root = tmp_path_factory.mktemp("programs")
    options = AlignedOptions(train=0, validation=0, test=24, ood=0)
    generate(make_recipe("rmts", 0, options), root / "set", workers=1, parquet=False)
    export(root / "set", root / "out", Trials(trials=8, participants=2))
    return root / "out"


@pytest.fixture
def copy(exported, tmp_path):
    """A copy, for answers to be saved in."""
    return shutil.copytree(exported, tmp_path / "out")


def trials_of(folder, participant):
    """One participant's lines of trials.csv."""
    with (folder / "trials.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["participant"] == participant]


class FakeScreen:
    """What the program asks of PsychoPy: it draws nothing and has keys pressed.

    Args:
        keys: pressed one after the other; those that are not asked for are passed over, as
            PsychoPy does.
    """

    def __init__(self, keys):
        self.keys, self.said, self.shown, self.closed = iter(keys), [], [], False
        self.size, self.pixels = (1000, 800), []
        screen = self

        class Text:
            def __init__(self, window, text="", **looks):
                self.text = text

            def draw(self):
                screen.said.append(self.text)

        class Picture:
            def __init__(self, window):
                self.image = self.size = None

            def draw(self):
                screen.shown.append(self.image)
                screen.pixels.append(self.size)

        class Keyboard:
            clock = SimpleNamespace(reset=lambda: None)

            def clearEvents(self):
                pass

            def waitKeys(self, keyList, waitRelease):
                assert waitRelease is False  # the press counts
                return [SimpleNamespace(name=next(k for k in screen.keys if k in keyList), rt=0.25)]

        def opened(**how):
            assert how["units"] == "deg"
            return self

        monitor = SimpleNamespace(setSizePix=lambda size: None, setWidth=self._width)
        self.modules = {
            "psychopy": ModuleType("psychopy"),
            "psychopy.hardware": SimpleNamespace(keyboard=SimpleNamespace(Keyboard=Keyboard)),
            "psychopy.tools": ModuleType("psychopy.tools"),
            "psychopy.tools.monitorunittools": SimpleNamespace(
                pix2deg=lambda pixels, monitor: pixels
            ),
        }
        self.modules["psychopy"].__dict__.update(
            core=SimpleNamespace(wait=lambda seconds: None),
            monitors=SimpleNamespace(Monitor=lambda name, distance: monitor),
            visual=SimpleNamespace(Window=opened, TextStim=Text, ImageStim=Picture),
        )

    def _width(self, cm):
        self.cm = cm

    def callOnFlip(self, call):
        call()

    def flip(self):
        pass

    def close(self):
        self.closed = True


def program(folder):
    """The PsychoPy program of an export as a module."""
    path = folder / "psychopy_experiment.py"
    spec = importlib.util.spec_from_file_location("psychopy_experiment", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(folder, monkeypatch, keys, *words):
    """Run the program with these keys; the screen it used."""
    screen = FakeScreen(keys)
    for name, module in screen.modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    program(folder).main(words)
    return screen


def right_keys(folder, participant):
    """What a participant who is always right presses: the space bar before each part."""
    keys, block = [], None
    for row in trials_of(folder, participant):
        keys += ["space"] * (row["block"] != block) + [row["answer_key"]]
        block = row["block"]
    return keys


def test_psychopy_runs_a_list(copy, monkeypatch, capsys):
    """All pictures are shown in order, in whole pixels, and answers are a table of trials."""
    screen = run(copy, monkeypatch, right_keys(copy, "2"), "--participant", "2", "--id", "S 07")
    assert screen.shown == [str(copy / row["image"]) for row in trials_of(copy, "2")]
    assert screen.pixels == [[224, 224]] * 8
    assert screen.cm == pytest.approx(1000 / 37.8)
    assert screen.closed
    assert "8 pictures" in screen.said[0]
    assert "F: same\nJ: different" in screen.said[0]
    assert "Part 1 of 4 is done" in " ".join(screen.said)
    path = copy / "responses-S_07.csv"
    assert capsys.readouterr().out.strip() == str(path)
    answers = read_trial_table(path)
    assert [trial.stimulus_id for trial in answers] == [
        row["stimulus_id"] for row in trials_of(copy, "2")
    ]
    assert all(trial.correct and trial.rt == 0.25 for trial in answers)
    assert {trial.participant for trial in answers} == {"S 07"}
    assert answers[0].conditions.keys() == {"case", "block", "trial"}


def test_two_participants_can_be_compared(copy, monkeypatch):
    """The tables of two people, with exchanged keys, are about the same stimuli."""
    for person in ("1", "2"):
        run(copy, monkeypatch, right_keys(copy, person), "--participant", person)
    one, two = (read_trial_table(copy / f"responses-person-{person}.csv") for person in "12")
    found = agreement(one, two)
    assert (found.n, found.raw) == (8, 1.0)


def test_psychopy_saves_on_escape(copy, monkeypatch):
    """Escape ends and keeps what there is; keys that are not asked for do nothing."""
    screen = run(copy, monkeypatch, ["x", "space", "q", "f", "j", "escape"])
    assert screen.closed
    answers = read_trial_table(copy / "responses-person-1.csv")
    assert len(answers) == 2
    for row, trial, response in zip(
        trials_of(copy, "1"), answers, ("different", "same"), strict=False
    ):
        assert trial.response == response
        assert trial.correct == (row["answer"] == response)


def test_psychopy_keeps_what_was_answered_if_it_crashes(copy, monkeypatch):
    """Every answer is on disk before the next picture."""
    with pytest.raises(RuntimeError, match="StopIteration"):  # no more keys
        run(copy, monkeypatch, ["space", "f"])
    assert len(read_trial_table(copy / "responses-person-1.csv")) == 1


def test_psychopy_refuses(copy, monkeypatch):
    """No such list, and a code that is taken, are one line; nothing is shown or lost."""
    with pytest.raises(SystemExit, match="no list for participant 3; there are 1 to 2"):
        run(copy, monkeypatch, [], "--participant", "3")
    taken = copy / "responses-person-1.csv"
    taken.write_text("kept")
    with pytest.raises(SystemExit, match="is there already; give another --id"):
        run(copy, monkeypatch, [])
    assert taken.read_text() == "kept"


def in_node(folder, expression):
    """What a JavaScript expression is, with `data` and what experiment.js exports at hand."""
    code = f"""
const fs = require("fs");
const lib = require({json.dumps(str(folder / "jspsych" / "experiment.js"))});
const text = fs.readFileSync({json.dumps(str(folder / "jspsych" / "trials.js"))}, "utf8");
const data = new Function(text + "; return EXPERIMENT;")();
console.log(JSON.stringify({expression}));
"""
    done = subprocess.run([NODE, "-e", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@with_node
def test_page_finds_its_list(exported):
    """The address says which list and which code; another number is refused."""
    found = in_node(exported, 'lib.chosenList(data, "?participant=2&id=a%20b")')
    assert (found["participant"], found["code"]) == (2, "a b")
    assert in_node(exported, 'lib.chosenList(data, "").code') == "person-1"
    call = 'lib.chosenList(data, "?participant=9")'
    broken = f"(() => {{ try {{ {call} }} catch (e) {{ return e.message }} }})()"
    assert 'no list for participant "9"; there are 1 to 2' in in_node(exported, broken)
    assert in_node(exported, 'lib.fileName("../a b")') == "responses-.._a_b.csv"


@with_node
def test_page_saves_a_table_of_trials(exported, tmp_path):
    """The page's CSV is one that people's and models' tables are read as."""
    rows = "list.trials.map((t, n) => lib.responseRow(data, list, t, n % 2 ? 'F' : 'j', 512.5))"
    text = in_node(
        exported,
        f"((list) => lib.toCsv(data.experiment.response_columns, {rows}))"
        '(lib.chosenList(data, "?participant=2&id=x,%22y%22"))',
    )
    (tmp_path / "answers.csv").write_text(text)
    answers = read_trial_table(tmp_path / "answers.csv")
    for number, (row, trial) in enumerate(zip(trials_of(exported, "2"), answers, strict=True)):
        assert trial.stimulus_id == row["stimulus_id"]
        assert trial.participant == 'x,"y"'
        assert trial.response == ("different", "same")[number % 2]  # of list 2, f is same
        assert trial.correct == (trial.response == row["answer"])
        assert trial.rt == 0.5125


@with_node
def test_page_and_program_say_the_same(exported):
    """Instructions name the number of pictures, the question, the keys and the distance."""
    text = in_node(exported, 'lib.instructions(data, lib.chosenList(data, ""))')
    settings, rows = program(exported).read_trials(exported, 1)
    said = program(exported).instructions(settings, rows)
    for part in ("8 pictures", "the same relation in both, or not?", "57 cm", "space bar"):
        assert part in text
        assert part in said
    assert text.index("<kbd>F</kbd> different") < text.index("<kbd>J</kbd> same")
