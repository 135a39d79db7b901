"""Making a folder: the same bytes however it is made, and nothing lost when it is not."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from samediff_stimuli import AlignedOptions, InputError, generate, make_recipe
from samediff_stimuli.cards import dataset
from samediff_stimuli.engine import PARTIAL
from samediff_stimuli.manifest import load
from samediff_stimuli.shards import DamagedError
from samediff_stimuli.verification import verify

OPTIONS = AlignedOptions(train=4800, validation=1600, test=96, ood=0)


def contents(folder):
    """Every file's bytes by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Contents of a folder made by one worker without interruption."""
    out = tmp_path_factory.mktemp("one") / "set"
    generate(make_recipe("discrimination", 3, OPTIONS), out, workers=1)
    return contents(out)


@pytest.mark.parametrize("workers", [2, 5])
def test_same_bytes_from_any_number_of_workers(reference, tmp_path, workers):
    """Every file of the folder is the same, byte for byte, from 1, 2 and 5 workers."""
    out = tmp_path / "set"
    generate(make_recipe("discrimination", 3, OPTIONS), out, workers=workers)
    assert contents(out) == reference


def test_relative_folders_are_the_callers(tmp_path, monkeypatch):
    """A relative folder is taken from here, even when workers were started somewhere else."""
    options = AlignedOptions(train=3200, validation=0, test=0, ood=0)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        generate(make_recipe("rmts", 0, options), "set", workers=2, parquet=False)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


COMMAND = [
    *[sys.executable, "-m", "samediff_stimuli.cli", "generate", "--task", "discrimination"],
    *["--seed", "3", "--train", "4800", "--validation", "1600", "--test", "96", "--ood", "0"],
]


@pytest.mark.parametrize("finished", [0, 1, 3])
def test_kill_and_resume(reference, tmp_path, finished):
    """After kill -9 the folder does not look whole; the same command ends in the same bytes."""
    out = tmp_path / "set"
    run = subprocess.Popen(
        [*COMMAND, "--out", out, "--workers", "2"],
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    notes = out / PARTIAL
    deadline = time.monotonic() + 300  # starting up takes long on a busy machine
    while len(list(notes.glob("*of*.json"))) < finished or not notes.exists():
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    if (out / "manifest.json").exists():
        pytest.fail("the run ended before it was killed")
    with pytest.raises(InputError, match="unfinished dataset"):
        load(out)
    kept = {note.name for note in notes.glob("*of*.json")}
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*.h5") if f"{p.stem}.json" in kept}
    assert len(stamps) >= finished
    subprocess.run([*COMMAND, "--out", out], check=True, capture_output=True)
    assert contents(out) == reference
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_a_complete_folder_is_left_alone(made):
    """Running the same command again changes nothing."""
    before = contents(made["rmts"])
    generate(load(made["rmts"]).recipe, made["rmts"], workers=1)
    assert contents(made["rmts"]) == before


def test_a_missing_shard_is_made_again(copied):
    """When one file is gone, only that one is made, and the folder is whole again."""
    before = contents(copied)
    victim = next((copied / "hdf5").rglob("test-*.h5"))
    victim.unlink()
    stamps = {p: p.stat().st_mtime_ns for p in copied.rglob("*.h5")}
    generate(load(copied).recipe, copied, workers=1)
    assert contents(copied) == before
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_other_recipes_are_not_overwritten(copied):
    """Another recipe is refused and nothing changes, unless --overwrite is said."""
    before = contents(copied)
    other = make_recipe("discrimination", 1, load(copied).recipe.options)
    with pytest.raises(InputError, match="another recipe"):
        generate(other, copied, workers=1)
    assert contents(copied) == before
    generate(other, copied, workers=1, overwrite=True)
    assert load(copied).recipe == other
    assert not verify(copied, True, lambda rows: None).problems


def test_folders_of_others_are_not_touched(tmp_path, copied):
    """A folder with other people's files is refused, even with --overwrite."""
    recipe = load(copied).recipe
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"holds no dataset.*thesis\.tex"):
            generate(recipe, tmp_path / "theirs", overwrite=overwrite)
    site = tmp_path / "site"  # has files named like ours
    (site / "data").mkdir(parents=True)
    (site / "manifest.json").write_text('{"name": "my web app", "recipe": "soup"}')
    with pytest.raises(InputError, match="holds no dataset"):
        generate(recipe, site, overwrite=True)
    assert (site / "data").is_dir()
    (copied / "notes.txt").write_text("mine")
    before = contents(copied)
    with pytest.raises(InputError, match=r"notes\.txt"):
        generate(make_recipe("rmts", 0), copied, overwrite=True)
    with pytest.raises(InputError, match="is a file"):
        generate(recipe, copied / "notes.txt")
    assert contents(copied) == before


def test_wanting_a_mirror_deletes_nothing(copied):
    """The same set with or without its mirror is refused, not replaced; strangers stay."""
    recipe = load(copied).recipe
    before = contents(copied)
    with pytest.raises(InputError, match="this dataset with its Parquet mirror"):
        generate(recipe, copied, parquet=False)
    deep = next((copied / "data").iterdir()) / "mine.txt"
    deep.write_text("keep")
    with pytest.raises(InputError, match=r"also holds 'data/.*mine\.txt'"):
        generate(recipe, copied, parquet=False, overwrite=True)
    deep.unlink()
    assert contents(copied) == before


@pytest.mark.parametrize("damage", ["missing", "damaged"])
def test_a_lost_manifest_can_be_overwritten(copied, damage):
    """A set whose manifest is lost is recognised, and --overwrite makes it whole again."""
    before, recipe = contents(copied), load(copied).recipe
    if damage == "missing":
        (copied / "manifest.json").unlink()
    else:
        (copied / "manifest.json").write_text('{"manifest"')
    with pytest.raises(InputError, match=r"manifest is missing or damaged; .*--overwrite"):
        generate(recipe, copied)
    generate(recipe, copied, workers=1, overwrite=True)
    assert contents(copied) == before


def test_an_overwrite_killed_at_once_clears_the_old_set(copied, monkeypatch):
    """Killed just after it claimed the folder, an overwriting run leaves no trace of the old."""
    from samediff_stimuli.cards import folder

    options = AlignedOptions(patch_size=16, train=8, validation=0, test=0, ood=0)
    other = make_recipe("discrimination", 1, options)
    with monkeypatch.context() as patch:
        patch.setattr(folder, "_say_cleared", lambda *arguments: 1 / 0)
        patch.setattr(folder.shutil, "rmtree", lambda *arguments, **more: None)
        with pytest.raises(ZeroDivisionError):
            generate(other, copied, workers=1, overwrite=True)
    generate(other, copied, workers=1)
    assert {path.name for path in (copied / "hdf5").iterdir()} == {"discrimination-p16"}
    assert not verify(copied).problems


def test_a_claim_that_was_cut_off_is_swept(copied):
    """What a run leaves that is killed while it claims a folder is in nobody's way."""
    before, recipe = contents(copied), load(copied).recipe
    for overwrite in (True, False):
        (copied / ".partial.123.tmp").mkdir()
        (copied / ".partial.123.tmp" / "recipe.json").write_text("{}")
        next((copied / "hdf5").rglob("test-*.h5")).unlink()
        generate(recipe, copied, workers=1, overwrite=overwrite)
        assert contents(copied) == before


def test_without_parquet(tmp_path):
    """--no-parquet writes no mirror, and the card points at the shards instead."""
    recipe = make_recipe("rmts", 0, AlignedOptions(train=8, validation=0, test=0, ood=0))
    made = generate(recipe, tmp_path / "set", workers=1, parquet=False)
    assert not (tmp_path / "set" / "data").exists()
    assert all(shard.mirror is None for shard in made.shards)
    assert "hdf5/rmts-p32/train-*.h5" in (tmp_path / "set" / "README.md").read_text()


def test_disk_full(tmp_path):
    """A full disk is one line; finished shards stay, and the run goes on when there is room."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs a small file system of its own, which only root can mount")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", small]).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        command = [*COMMAND, "--out", small / "set", "--workers", "1"]
        full = subprocess.run(command, capture_output=True, text=True)
        assert full.returncode == 2
        assert full.stderr.strip().count("\n") == 0
        assert "No space left" in full.stderr
        assert "run the same command" in full.stderr
        kept = list((small / "set" / "hdf5").rglob("*.h5"))
        assert kept
        assert not list((small / "set").rglob("*.tmp"))
        stamps = {p: p.stat().st_mtime_ns for p in kept}
        subprocess.run(["mount", "-o", "remount,size=90m", small], check=True)
        subprocess.run(command, check=True, capture_output=True)
        assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
        assert not verify(small / "set", False, lambda rows: None).problems
    finally:
        subprocess.run(["umount", small], check=True)


def test_estimate_is_near_the_truth(made):
    """--dry-run's bytes are within a fifth of what the files then take."""
    recipe = make_recipe(
        "discrimination", 0, AlignedOptions(train=1600, validation=0, test=0, ood=0)
    )
    guess = dataset.estimate(recipe, workers=2, parquet=True)
    assert guess.files == 6
    per_image = sum(f.n_bytes for f in load(made["discrimination"]).files() if "/" in f.path)
    per_image /= sum(shard.rows for shard in load(made["discrimination"]).shards)
    assert abs(guess.n_bytes / (1600 * per_image) - 1) < 0.2


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete", "swap", "column", "stray"])
def test_verify_finds_damage(copied, damage):
    """Every kind of damage to a shard is found and named."""
    shards = sorted((copied / "hdf5").rglob("*.h5"))
    victim = next(path for path in shards if path.name.startswith("train"))
    data = bytearray(victim.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        victim.write_bytes(data)
    elif damage == "truncate":
        victim.write_bytes(data[:-100])
    elif damage == "delete":
        victim.unlink()
    elif damage == "stray":
        victim = victim.with_name("train-00007-of-00009.h5")
        victim.write_bytes(data)
    elif damage == "swap":
        victim.write_bytes(next(p for p in shards if p.name.startswith("test")).read_bytes())
    else:
        import h5py

        with h5py.File(victim, "r+") as file:
            file["label"][3] ^= 1
    problems = verify(copied, False, lambda rows: None).problems
    assert problems
    assert any(victim.name in problem for problem in problems)


def test_verify_names_shards_as_the_folder_was_given(copied, tmp_path, monkeypatch):
    """Each line has the path that the user gave; one of other images says which they should be."""
    other = make_recipe("discrimination", 0, AlignedOptions(image_size=64, patch_size=16, train=96))
    generate(other, tmp_path / "other", workers=1, parquet=False)
    shard = next((copied / "hdf5").rglob("train-*.h5"))
    shutil.copy(next((tmp_path / "other").rglob("train-*.h5")), shard)
    next((copied / "hdf5").rglob("test-*.h5")).write_bytes(b"none")
    monkeypatch.chdir(copied)
    problems = verify(Path()).problems
    shape = "96 rows of (64, 64, 3), the manifest says 96 of (224, 224, 3)"
    assert f"{shard.relative_to(copied)}: {shape}" in problems
    assert len(problems) >= 4
    assert all(problem.startswith("hdf5/") for problem in problems)


def test_verify_finds_a_set_that_is_not_its_recipe(copied):
    """Files that agree with a forged manifest but not with the recipe are found by remaking."""
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["recipe"]["seed"] = 8
    (copied / "manifest.json").write_text(json.dumps(manifest))
    from samediff_stimuli import DamagedError

    with pytest.raises(DamagedError, match="digests do not fit"):
        load(copied)
    forged = make_recipe("discrimination", 8, load_recipe_options(manifest))
    manifest["recipe_digest"] = forged.digest()
    shards = [json.loads(json.dumps(shard)) for shard in manifest["shards"]]
    from samediff_stimuli.manifest import Manifest, ShardRecord, write

    write(
        copied,
        Manifest(
            recipe=forged,
            shards=tuple(ShardRecord.from_dict(shard) for shard in shards),
            extras=(),
            versions=manifest["versions"],
        ),
    )
    problems = verify(copied, False, lambda rows: None).problems
    assert any("is not what the recipe gives" in problem for problem in problems)


def load_recipe_options(manifest):
    """The options of a manifest's recipe."""
    return AlignedOptions(**manifest["recipe"]["options"])


@pytest.mark.parametrize("path", ["../evil.h5", "/etc/passwd", "a\\..\\b", "C:evil"])
def test_manifest_paths_stay_inside(copied, path):
    """A manifest that points outside its folder is refused."""
    from samediff_stimuli import DamagedError

    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["shards"][0]["file"]["path"] = path
    (copied / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedError, match="leaves the folder"):
        load(copied)


def test_unwritable_folder(tmp_path):
    """A folder that cannot be written is refused before anything is made."""
    recipe = make_recipe("rmts", 0, AlignedOptions(train=8, validation=0, test=0, ood=0))
    with pytest.raises(InputError, match="cannot be written"):
        generate(recipe, "/proc/nowhere/set")


def test_what_is_said_of_a_split_may_change(copied):
    """A dataset stays readable when a later release describes columns or splits in other words."""
    path = copied / "manifest.json"
    data = json.loads(path.read_text())
    data["splits"][0]["about"] = "in other words"
    data["columns"][1]["about"] = "in other words"
    path.write_text(json.dumps(data))
    assert load(copied).recipe.task == "discrimination"
    data["splits"][0]["rows"] += 1
    path.write_text(json.dumps(data))
    with pytest.raises(DamagedError, match="digests do not fit"):
        load(copied)
