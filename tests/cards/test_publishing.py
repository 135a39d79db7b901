"""Publishing, against a Hub on loopback, with the real client library."""

import json
import re
import shutil
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from samediff_stimuli import hub as layout
from samediff_stimuli import tasks
from samediff_stimuli.cards import mini, publishing, repository
from samediff_stimuli.cards.publishing import plan, publish
from samediff_stimuli.cli import main
from samediff_stimuli.loaders import StimulusDataset, from_hub
from samediff_stimuli.manifest import load
from samediff_stimuli.recipe import InputError
from samediff_stimuli.verification import verify
from tests import hub as test_hub
from tests import hub_sets

# The library's own way to send files, which its HTTP library would have otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

LOADED = """
import json, sys
import pyarrow.parquet  # streams are closed at exit, when it may be gone
from datasets import load_dataset
from tests.hub_sets import digest
found = {}
for way, words, more in json.loads(sys.argv[1]):
    for split, rows in load_dataset(*words, **more).items():
        found[f"{way} {split}"] = digest(rows)
few = load_dataset("org/two", "discrimination-p32-mini")
found["few"] = {name: digest(rows) for name, rows in few.items()}
found["mini"] = {name: digest(rows) for name, rows in load_dataset("org/two", "mini").items()}
names = load_dataset("org/two")["train"].features["label"].names
print(json.dumps(found | {"names": names}))
"""


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two small datasets by task; tests must not change them."""
    return hub_sets.make(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub that this process publishes to."""
    with test_hub.running() as running:
        test_hub.use(monkeypatch, running.url, tmp_path / "home")
        yield running


@pytest.fixture(scope="module")
def published(sets, tmp_path_factory):
    """A Hub with org/two: one dataset tagged v1.0, then another added, tagged v1.1."""
    with test_hub.running() as running, pytest.MonkeyPatch.context() as patch:
        test_hub.use(patch, running.url, tmp_path_factory.mktemp("home"))
        publish([sets["discrimination"]], "org/two", revision="v1.0")
        publish([sets["squiggles"]], "org/two", revision="v1.1")
        yield running


def run(*arguments):
    """Run `publish` in this process."""
    return CliRunner().invoke(main, ["publish", *map(str, arguments)])


def written(files, folder):
    """Write the files of a commit to a folder."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def test_all_ways_of_loading_give_the_same(sets, published, tmp_path, monkeypatch):
    """load_dataset plain, streaming, by revision and of a folder, and from_hub: same content."""
    one, two = (str(sets[name]) for name in ("discrimination", "squiggles"))
    ways = [
        ("plain", ["org/two", "discrimination-p32"], {}),
        ("plain2", ["org/two", "squiggles"], {}),
        ("stream", ["org/two", "discrimination-p32"], {"streaming": True}),
        ("stream2", ["org/two", "squiggles"], {"streaming": True}),
        ("v1.0", ["org/two", "discrimination-p32"], {"revision": "v1.0"}),
        ("v1.0 default", ["org/two"], {"revision": "v1.0"}),
        ("default", ["org/two"], {}),
        ("folder", [one], {}),
        ("folder2", [two], {}),
    ]
    environment = test_hub.environment(published.url, tmp_path, token=None)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    words = [sys.executable, "-c", LOADED, json.dumps(ways)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["names"] == ["different", "same"]
    assert found["mini"] == found["few"]
    test_hub.use(monkeypatch, published.url, tmp_path / "own", token=None)
    for task, config, suffix in (
        ("discrimination", "discrimination-p32", ""),
        ("squiggles", "squiggles", "2"),
    ):
        for shard in load(sets[task]).shards:
            split = shard.split
            local = StimulusDataset(sets[task], split, columns=["label"])
            fetched = from_hub("org/two", config, split, columns=["label"])
            expected = hub_sets.digest(hub_sets.stimuli(local))
            assert hub_sets.digest(hub_sets.stimuli(fetched)) == expected, split
            same = {f"{way[0]} {split}" for way in ways if way[0].endswith("2") == bool(suffix)}
            assert {found[name] for name in same} == {expected}, split


def test_few_rows_are_whole_groups(sets, published, tmp_path):
    """mini has some rows of every split: whole matched groups, as many of one label as of the
    other, with the pixels and columns of the rows that they are."""
    folder = sets["discrimination"]
    found = load(folder)
    sizes = mini.sizes(found)
    assert sizes["train"] == 64
    assert sizes["test"] == 8
    for split, rows in sizes.items():
        chosen = mini.chosen(found, split)
        assert len(chosen) == rows
        table = StimulusDataset(folder, split).table.rows(chosen)
        assert sum(table["label"].tolist()) * 2 == rows
        pairs = table["pair_id"].tolist()
        assert {pairs.count(pair) for pair in pairs} == {tasks.get("discrimination").group}
    assert mini.chosen(found, "train").tolist() != list(range(64))
    written(published.repos["org/two"].files, tmp_path)
    import pyarrow.parquet as pq

    path = f"{found.name}/train-00000-of-00001.parquet"
    few, whole = (pq.read_table(tmp_path / top / path) for top in ("mini", "data"))
    assert few.equals(whole.take(mini.chosen(found, "train")))
    assert few.schema.metadata == whole.schema.metadata


def test_a_copy_of_one_dataset_is_its_folder(sets, published, tmp_path):
    """What a repository of one dataset holds verifies, and reads, as a dataset's folder."""
    repo = published.repos["org/two"]
    copy = written(repo.commits[repo.tags["v1.0"]], tmp_path)
    assert verify(copy).problems == ()
    assert load(copy).digest() == load(sets["discrimination"]).digest()
    original = {extra.path: extra for extra in load(sets["discrimination"]).extras}
    for name in original.keys() - {"README.md"}:
        assert (copy / name).read_bytes() == (sets["discrimination"] / name).read_bytes()


def test_datasets_come_back_from_a_shared_repository(sets, published, tmp_path):
    """Manifests and cards of each config are as they were in its folder, and nothing of the first
    dataset is left in the root, where it would pass for all."""
    files = published.repos["org/two"].files
    for folder in sets.values():
        found = load(folder)
        for name in ("manifest.json", *(extra.path for extra in found.extras)):
            assert files[layout.own_place(found.name, name)] == (folder / name).read_bytes()
        for record in found.data_files():
            assert (
                files[layout.place(found.name, record.path)] == (folder / record.path).read_bytes()
            )
    assert {path for path in files if "/" not in path} == {".gitattributes", "README.md"}


def test_the_card_of_two(sets, published):
    """Configs are Parquet alone, each once, one of them default; rows are the manifests'."""
    text = published.repos["org/two"].files["README.md"].decode()
    front, body = repository.front_matter(text)
    names = [config["config_name"] for config in front["configs"]]
    own = ["discrimination-p32", "squiggles"]
    assert names == [*own, "mini", *(f"{name}-mini" for name in own)]
    assert [c["config_name"] for c in front["configs"] if c.get("default")] == names[:1]
    paths = [file["path"] for config in front["configs"] for file in config["data_files"]]
    assert all(path.endswith(".parquet") for path in paths)
    info = {entry["config_name"]: entry["splits"] for entry in front["dataset_info"]}
    assert list(info) == names
    for task, name in zip(sets, names, strict=False):
        rows = {shard.split: shard.rows for shard in load(sets[task]).shards}
        assert {split["name"]: split["num_examples"] for split in info[name]} == rows
    assert front["license"] == "cc-by-4.0"
    assert front["pretty_name"] == "two"
    assert {"vision-transformers", "same-different"} <= set(front["tags"])
    for name in names[:2]:
        assert f"(manifests/{name}/README.md)" in body
    assert "DIR_OR_REPO" not in body


def test_rows_of_several_images_are_counted_so(sets, made):
    """The card of two tells a set's rows and all of their images, and calls neither the other."""
    card = plan([made["das"], sets["squiggles"]], "org/two").card
    manifest = load(made["das"])
    rows, views = manifest.shards[0].rows, len(tasks.get("das").views)
    assert views > 1
    assert f"| split | rows | what is in it |\n| --- | --- | --- |\n| `train` | {rows:,} |" in card
    assert f"| {views * sum(shard.rows for shard in manifest.shards):,} (" in card
    assert card.count("| split | images | what is in it |") == 1


@pytest.mark.parametrize(
    "card", ["---\nconfigs: [\n---\n", "---\nconfigs:\n- data_files: x\n---\n", "mine", "\xff"]
)
def test_a_card_that_somebody_edited_is_made_anew(sets, hub, card):
    """Whatever the card of a repository of ours has become, publishing more writes it again."""
    publish([sets["squiggles"]], "org/edited")
    repo = hub.repos["org/edited"]
    repo.commit(repo.files | {"README.md": card.encode("latin-1")})
    publish([sets["discrimination"]], "org/edited")
    front, _ = repository.front_matter(repo.files["README.md"].decode())
    assert len(front["configs"]) == 5


def test_the_card_of_one_says_where_it_is(sets):
    """The card of a single dataset is its own, with the repository's name in the code."""
    card = plan([sets["squiggles"]], "org/one").card
    assert 'load_dataset("org/one", "squiggles")' in card
    assert "DIR_OR_REPO" not in card
    own = (sets["squiggles"] / "README.md").read_text()
    for heading in re.findall(r"^## .*$", own, flags=re.MULTILINE):
        assert f"\n{heading}\n" in card


def test_a_cut_upload_goes_on(sets, hub, monkeypatch):
    """A connection that breaks in mid-upload leaves the repository as it was; the same call sends
    what is missing, and no file that had arrived."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library waits between attempts
    both = [sets["discrimination"], sets["squiggles"]]
    large = {
        file.sha256: file.n_bytes
        for file in plan(both, "org/cut").files
        if test_hub.is_large(file.path)
    }
    hub.cut_after(sum(large.values()) // 2)
    with pytest.raises(InputError, match=r"broke off: no connection .* not sent twice") as caught:
        publish(both, "org/cut")
    assert "\n" not in str(caught.value)
    assert set(hub.repos["org/cut"].files) == {".gitattributes"}
    arrived = set(hub.large)
    assert arrived
    hub.mend()
    hub.log.clear()
    hub.sent = 0
    made = publish(both, "org/cut", revision="v1.0")
    put = [path.rpartition("/")[2] for method, path in hub.log if method == "PUT"]
    assert set(put) == set(large) - arrived
    assert 0 < hub.sent == sum(large[oid] for oid in put) < sum(large.values())
    assert hub.repos["org/cut"].tags == {"v1.0": made.commit}
    assert set(hub.repos["org/cut"].files) == {file.path for file in made.plan.files} | {
        ".gitattributes"
    }


def test_publishing_again_sends_nothing(sets, hub):
    """The same command on the same state makes no commit, and the tag may stay."""
    first = publish([sets["squiggles"]], "org/same", revision="v1.0")
    sent = hub.sent
    second = publish([sets["squiggles"]], "org/same", revision="v1.0")
    assert second.changed == ()
    assert (second.commit, hub.sent) == (first.commit, sent)


def test_a_report_added_later_replaces_what_was(sets, hub, tmp_path):
    """Files that a dataset has no more are gone after publishing it again; others' files stay."""
    publish([sets["squiggles"]], "org/later")
    repo = hub.repos["org/later"]
    stale = {
        "manifests/squiggles/validation.json": b"old",
        "NOTES.md": b"mine",
        "manifests/squiggles/README.md": b"---\nlicense: mit\n---\nold",
    }
    repo.commit(repo.files | stale)
    publish([sets["squiggles"]], "org/later")
    assert "manifests/squiggles/validation.json" not in repo.files
    assert repo.files["NOTES.md"] == b"mine"
    own = (sets["squiggles"] / "README.md").read_bytes()
    assert repo.files["manifests/squiggles/README.md"] == own


def test_the_command(sets, hub):
    """`publish` says what was sent, and prints code that loads it; --private is heard."""
    assert "run the same command again" in " ".join(run("--help").stdout.split())
    done = run(sets["squiggles"], "--repo-id", "org/new", "--revision", "v1.0", "--private")
    assert done.exit_code == 0, done.output
    assert 'load_dataset("org/new", "squiggles", revision="v1.0")' in done.stdout
    assert 'load_dataset("org/new", "mini", revision="v1.0")' in done.stdout
    assert hub.repos["org/new"].private


def test_somebody_else_commits_meanwhile(sets, hub, monkeypatch):
    """A commit on top of another's is refused, and leaves theirs; the same call goes on from it."""
    publish([sets["squiggles"]], "org/busy")
    repo = hub.repos["org/busy"]
    send = publishing._send

    def late(*given):
        repo.commit(repo.files | {"NOTES.md": b"theirs"})
        return send(*given)

    monkeypatch.setattr(publishing, "_send", late)
    with pytest.raises(InputError, match=r"was changed by another meanwhile .* not sent twice"):
        publish([sets["discrimination"]], "org/busy")
    monkeypatch.setattr(publishing, "_send", send)
    made = publish([sets["discrimination"]], "org/busy")
    assert [member.name for member in made.plan.members] == ["squiggles", "discrimination-p32"]
    assert repo.files["NOTES.md"] == b"theirs"


def test_dry_run_asks_nobody(sets, hub, monkeypatch, tmp_path):
    """--dry-run lists files, sizes and card without a token or a network, and changes nothing."""
    test_hub.use(monkeypatch, "http://127.0.0.1:9", tmp_path, token=None)
    before = {path: path.stat().st_mtime_ns for path in sets["squiggles"].rglob("*")}
    done = run(sets["squiggles"], "--repo-id", "org/new", "--dry-run")
    assert done.exit_code == 0, done.output
    assert {path: path.stat().st_mtime_ns for path in sets["squiggles"].rglob("*")} == before
    for record in load(sets["squiggles"]).data_files():
        assert f"{record.n_bytes:>13,}  {record.path}\n" in done.stdout
    assert "# Squiggles: same or different closed curves" in done.stdout
    assert (hub.repos, hub.log) == ({}, [])


TOKENS = {
    "wrong token": ("hf_no", "org/new", "refuses the token"),
    "no token": (None, "org/new", "no token; log in"),
    "token that only reads": (test_hub.READER, "org/new", "may not write to org/new"),
    "another's namespace": (test_hub.TOKEN, "others/new", "may not write to others/new"),
}


@pytest.mark.parametrize("case", TOKENS)
def test_tokens_that_will_not_do(case, sets, hub, monkeypatch, tmp_path):
    """A token that is wrong, missing or too weak is one line, and nothing is sent."""
    token, repo_id, words = TOKENS[case]
    test_hub.use(monkeypatch, hub.url, tmp_path, token=token)
    refused(run(sets["squiggles"], "--repo-id", repo_id), words)
    assert (hub.repos, hub.sent) == ({}, 0)


def refused(done, words):
    """A command failed as users may see it: exit code 2, and one line."""
    assert done.exit_code == 2, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    assert words in lines[0]


def test_no_network(sets, monkeypatch, tmp_path):
    """Without a network there is one line that says so."""
    test_hub.use(monkeypatch, "http://127.0.0.1:9", tmp_path)
    refused(run(sets["squiggles"], "--repo-id", "org/new"), "no connection to http://127.0.0.1:9")


@pytest.mark.parametrize("repo_id", ["new", "org/", "a/b/c", "org/two words", "org/a--b", "../x"])
def test_malformed_repo_ids(repo_id, sets, hub):
    """A repo id that the Hub would not take is refused before it is asked."""
    refused(run(sets["squiggles"], "--repo-id", repo_id), f"repo id {repo_id!r} is malformed")
    assert hub.log == []


@pytest.mark.parametrize("tag", ["main", "v 1", "-v1", "a..b", "x.lock", ""])
def test_malformed_tags(tag, sets, hub):
    """A tag that git would not take is refused before anything is asked."""
    done = run(sets["squiggles"], "--repo-id", "org/new", f"--revision={tag}")
    refused(done, f"--revision {tag!r} cannot be a tag")
    assert hub.log == []


def test_repositories_of_others_stay(sets, hub):
    """A repository that holds something else is left as it is; an empty one may be filled."""
    strange = hub.repos["org/strange"] = test_hub.Repo(private=False)
    strange.commit(strange.files | {"README.md": b"# mine"})
    head = strange.head
    refused(run(sets["squiggles"], "--repo-id", "org/strange"), "is none of ours")
    assert strange.head == head
    hub.repos["org/empty"] = test_hub.Repo(private=False)
    refused(run(sets["squiggles"], "--repo-id", "org/empty", "--private"), "exists and is public")
    assert run(sets["squiggles"], "--repo-id", "org/empty").exit_code == 0


def test_one_name_two_datasets(sets, hub, tmp_path):
    """Datasets of one name and two seeds are refused, in one call and in one repository."""
    other = hub_sets.make(tmp_path, seed=7)["squiggles"]
    words = "both named squiggles but differ (seeds 7 and 0)"
    refused(run(sets["squiggles"], other, "--repo-id", "org/new"), words)
    refused(run(other, other, "--repo-id", "org/new"), "are the same dataset, squiggles")
    assert hub.log == []
    publish([sets["squiggles"]], "org/new")
    head = hub.repos["org/new"].head
    refused(run(other, "--repo-id", "org/new"), words)
    assert hub.repos["org/new"].head == head


def test_tags_do_not_move(sets, hub):
    """A tag of another state is refused before anything is sent."""
    publish([sets["squiggles"]], "org/new", revision="v1.0")
    sent, head = hub.sent, hub.repos["org/new"].head
    done = run(sets["discrimination"], "--repo-id", "org/new", "--revision", "v1.0")
    refused(done, "--revision v1.0 is there and tags another state")
    assert (hub.sent, hub.repos["org/new"].head) == (sent, head)


def test_folders_that_are_not_whole(sets, hub, tmp_path):
    """A damaged or unfinished folder, or one without a mirror, is refused; nothing is sent."""
    damaged = shutil.copytree(sets["squiggles"], tmp_path / "damaged")
    shard = next((damaged / "hdf5").rglob("*.h5"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 255
    shard.write_bytes(data)
    refused(run(damaged, "--repo-id", "org/new"), f"{damaged} does not verify")
    (damaged / "manifest.json").unlink()
    refused(run(damaged, "--repo-id", "org/new"), "has no manifest.json")
    bare = hub_sets.make(tmp_path / "bare", parquet=False)["squiggles"]
    refused(run(bare, "--repo-id", "org/new"), "has no Parquet mirror")
    refused(run(tmp_path / "nowhere", "--repo-id", "org/new"), "is not a dataset")
    assert (hub.repos, hub.sent) == ({}, 0)
