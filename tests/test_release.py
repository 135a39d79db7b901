"""The sets that people make with the documented commands, whole: digests, size, memory."""

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil
import pytest

from samediff_stimuli import audit, generate
from samediff_stimuli.engine import record_of
from samediff_stimuli.manifest import load
from samediff_stimuli.verification import verify
from tests import released_cards
from tests.cases import CASES, FACTOR_SETS, recipe_of

# `samediff-stimuli generate --task TASK --seed 0`: content digest, largest bytes an image in HDF5.
RELEASES = {
    "discrimination": ("63679b4b5b96c65c092c401847f94fcc22b750a1cddadad6868ffcccbdcfa6dd", 2400),
    "rmts": ("6edd2c80b22f706d4598a6f35e2ea93d1b53f8988a2e01017afb7bbc839c4909", 4200),
}


DIGESTS = Path(__file__).with_name("digests.json")  # of every other set at paper size
FIRST = sorted({name: (name, variant) for name, variant in reversed(CASES)}.values())
FIRST = [case for case in FIRST if case[0] != "photoreal"]  # see tests/blender_scenes
OTHERS = [case for case in FIRST if case[0] not in RELEASES]
KEPT = Path(__file__).parents[1] / "cards" / "releases"
AUDIT = Path(__file__).parents[1] / "cards" / "AUDIT.md"


def run(*arguments):
    """Run the command line in a process of its own; the largest resident memory of it and its
    workers, in MB."""
    command = [sys.executable, "-m", "samediff_stimuli.cli", *map(str, arguments)]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak, done = 0, threading.Event()
    while not done.wait(0.05) and process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in family))
        except psutil.Error:  # one of them has just ended
            continue
    assert process.wait() == 0
    return peak / 1e6


@pytest.mark.parametrize("name", sorted(path.name for path in KEPT.iterdir()))
def test_the_cards_of_releases_are_current(name):
    """Card and Croissant of a released set are what its manifest and its validation give today,
    and its manifest lists them so."""
    place = KEPT / name
    listed = {record.path: record for record in load(place).extras}
    for file, text in released_cards.texts(place).items():
        path = place / file
        assert path.read_text() == text, "stale; run python -m tests.released_cards"
        assert listed[file] == record_of(place, path)


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(RELEASES))
def test_the_documented_set(task, tmp_path):
    """The paper-size set has its golden digest, its size, and every row is what its recipe says."""
    digest, largest = RELEASES[task]
    run("generate", "--task", task, "--seed", 0, "--out", tmp_path / "set")
    manifest = load(tmp_path / "set")
    assert manifest.digest() == digest
    rows = sum(shard.rows for shard in manifest.shards)
    assert rows == 38_400
    assert sum(shard.file.n_bytes for shard in manifest.shards) / rows < largest
    report = verify(tmp_path / "set", True, lambda rows: None)
    assert report.problems == ()
    assert report.remade == rows
    assert audit(tmp_path / "set").problems() == []


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(tmp_path):
    """Making 60,000 images takes no more memory than 6,000, both with two workers under 600 MB."""
    peaks = []
    for rows in (6_000, 60_000):
        out = ["--out", tmp_path / str(rows), "--workers", 2]
        sizes = ["--train", rows, "--validation", 0, "--test", 0, "--ood", 0]
        peaks.append(run("generate", "--task", "discrimination", "--seed", 0, *out, *sizes))
    assert max(peaks) < 600
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), OTHERS, ids=map("-".join, OTHERS))
def test_no_image_twice_and_nothing_tells(name, variant, tmp_path):
    """At paper size no image comes back, no statistic tells the label, the digest is golden."""
    made = generate(recipe_of(name, variant), tmp_path / "set", parquet=False)
    found = audit(tmp_path / "set")
    assert not any(found.repeats.values())
    if name != "naturalistic":  # pictures differ in ink as they do, and few were drawn
        assert found.problems() == []
    assert json.loads(DIGESTS.read_text())[f"{name}-{variant}"] == made.digest()


SAMPLE = {"dsprites": pytest.mark.slow}  # the others take longer
GRIDS = [pytest.param(name, marks=SAMPLE.get(name, pytest.mark.long)) for name in FACTOR_SETS]


@pytest.mark.parametrize("name", GRIDS)
def test_a_whole_grid(name, tmp_path):
    """The documented command makes the golden grid within 1 GB; no test image is in training."""
    out = tmp_path / "set"
    peak = run("generate", "--task", name, "--seed", 0, "--out", out, "--workers", 2)
    assert peak < 1000
    manifest = load(out)
    assert json.loads(DIGESTS.read_text())[f"{name}-all"] == manifest.digest()
    assert manifest.repeats == dict.fromkeys(manifest.repeats, 0)
    assert len(manifest.repeats) == 4
    report = verify(out)
    assert report.problems == ()
    assert report.remade > 60


HEAD = """# Audit of every set at its default size, seed 0

Made by `python -m tests.test_release`; `samediff-stimuli audit` prints each.
Of naturalistic, 60 objects are shown instead of 1,600."""


def remake(names):
    """Make the digests and audits of some sets anew, grids among them; the others stay."""
    digests = json.loads(DIGESTS.read_text())
    _, *old = AUDIT.read_text().rstrip("\n").split("\n\n## ")
    sections = {text.partition("\n")[0]: text for text in old}
    for name, variant in [*FIRST, *((name, "all") for name in FACTOR_SETS)]:
        if name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "set"
            made = generate(recipe_of(name, variant), out, parquet=False)
            if name not in FACTOR_SETS:
                sections[name] = f"{name}\n\n{audit(out).markdown()}"
        if name not in RELEASES:
            digests[f"{name}-{variant}"] = made.digest()
    order = [f"{name}-{variant}" for name, variant in OTHERS]
    order += [f"{name}-all" for name in FACTOR_SETS]
    DIGESTS.write_text(json.dumps({key: digests[key] for key in order}, indent=1) + "\n")
    pages = [HEAD, *(sections[name] for name, _ in FIRST)]
    AUDIT.write_text("\n\n## ".join(pages) + "\n")


if __name__ == "__main__":
    remake(sys.argv[1:] or [*(name for name, _ in FIRST), *FACTOR_SETS])
