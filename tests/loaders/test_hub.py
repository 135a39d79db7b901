"""Reading from the Hub, against one on loopback, with the real client library."""

import json
import pickle
import time

import pytest

from samediff_stimuli import generate, make_recipe, tasks
from samediff_stimuli.cards.publishing import publish
from samediff_stimuli.loaders import FactorDataset, StimulusDataset, from_hub
from samediff_stimuli.loaders import fetched as reading
from samediff_stimuli.recipe import InputError
from samediff_stimuli.shards import DamagedError
from tests import hub as test_hub
from tests import hub_sets
from tests.factor_sets import use_tiny

# The library's own way to send files, which its HTTP library would have otherwise.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
MANIFEST = "manifests/squiggles/manifest.json"
SHARD = "hdf5/squiggles/train-00000-of-00001.h5"


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two small datasets by task; tests must not change them."""
    return hub_sets.make(tmp_path_factory.mktemp("sets"))


@pytest.fixture(scope="module")
def served(sets, tmp_path_factory):
    """A Hub with org/two, both datasets; tests must not change it."""
    with test_hub.running() as running, pytest.MonkeyPatch.context() as patch:
        test_hub.use(patch, running.url, tmp_path_factory.mktemp("home"))
        publish(list(sets.values()), "org/two")
        yield running


@pytest.fixture
def home(served, monkeypatch, tmp_path):
    """An empty cache of a client without a token; the Hub's log is empty."""
    test_hub.use(monkeypatch, served.url, tmp_path, token=None)
    served.log.clear()
    return tmp_path


def downloaded(hub):
    """Files that were downloaded, in order; requests are /datasets/ORG/NAME/resolve/COMMIT/PATH."""
    asked = [path.split("/", 6)[-1] for method, path in hub.log if method == "GET"]
    return [path for path in asked if not path.startswith("api/")]


@pytest.fixture
def changed(served, monkeypatch, home):
    """A function that puts files into a copy of the repository, org/bad."""
    files = dict(served.repos["org/two"].files)

    def change(more):
        monkeypatch.setitem(served.repos, "org/bad", test_hub.Repo(private=False))
        served.repos["org/bad"].commit(files | more)
        return files

    return change


def test_only_what_is_needed_is_fetched(sets, served, home):
    """The manifest and one split's shards come, once; the dataset is the ordinary one."""
    data = from_hub("org/two", "squiggles", "train", columns=["label"])
    assert downloaded(served) == [MANIFEST, SHARD]
    local = StimulusDataset(sets["squiggles"], "train", columns=["label"])
    assert type(data) is StimulusDataset
    assert hub_sets.digest(hub_sets.stimuli(data)) == hub_sets.digest(hub_sets.stimuli(local))
    again = pickle.loads(pickle.dumps(data))
    assert (again[3]["image"] == local[3]["image"]).all()
    images, labels = from_hub("org/two", "squiggles", "test").batch([1, 0])
    assert images.shape == (2, 3, 224, 224)
    assert labels.tolist() == StimulusDataset(sets["squiggles"], "test").labels[[1, 0]].tolist()


def test_files_are_hashed_once(served, home, monkeypatch):
    """The second call downloads nothing and hashes nothing."""
    from_hub("org/two", "squiggles", "train")
    served.log.clear()
    monkeypatch.setattr(reading, "file_sha256", None)
    assert len(from_hub("org/two", "squiggles", "train")) == 24
    assert downloaded(served) == []


def test_a_damaged_cache_heals(sets, served, home):
    """A file that was damaged in the cache is fetched anew."""
    path = from_hub("org/two", "squiggles", "train").path / SHARD
    whole = path.read_bytes()
    path.write_bytes(whole[:-5] + b"12345")
    data = from_hub("org/two", "squiggles", "train")
    assert (data.path / SHARD).read_bytes() == whole


def test_what_was_fetched_needs_no_network(served, home, monkeypatch):
    """A split in the cache is read without a network; another is one line."""
    from_hub("org/two", "squiggles", "train")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the library waits between attempts
    test_hub.use(monkeypatch, "http://127.0.0.1:9", home)
    assert len(from_hub("org/two", "squiggles", "train")) == 24
    for config, split in (("squiggles", "test"), ("discrimination-p32", "train")):
        with pytest.raises(InputError, match=r"no connection to http://127.0.0.1:9") as caught:
            from_hub("org/two", config, split)
        assert "\n" not in str(caught.value)


def test_a_lying_hub(served, changed):
    """A shard that is not what the manifest says, or that is not there, is not read."""
    files = changed({SHARD: b"something else"})
    with pytest.raises(DamagedError, match="SHA-256"):
        from_hub("org/bad", "squiggles", "train")
    changed({})
    repo = served.repos["org/bad"]
    repo.commit({path: data for path, data in files.items() if path != SHARD})
    with pytest.raises(DamagedError, match="lacks"):
        from_hub("org/bad", "squiggles", "train")


def hostile(files, path):
    """A manifest of squiggles whose first shard is said to lie at a path."""
    data = json.loads(files[MANIFEST])
    data["shards"][0]["file"]["path"] = path
    return json.dumps(data).encode()


@pytest.mark.parametrize(
    "path",
    [
        *("../../../../secret.h5", "/etc/passwd", "hdf5/squiggles/../../x.h5", "C:\\x.h5"),
        *("README.md", "hdf5/discrimination-p32/train-00000-of-00001.h5", "hdf5/squiggles"),
    ],
)
def test_a_hostile_manifest(path, served, changed, home):
    """A manifest that leads out of its dataset's folders is damaged; nothing else is fetched."""
    changed({MANIFEST: hostile(served.repos["org/two"].files, path)})
    with pytest.raises(DamagedError):
        from_hub("org/bad", "squiggles", "train")
    assert downloaded(served) == [MANIFEST]


def test_a_manifest_of_another_dataset(served, changed):
    """A config whose manifest is another's is damaged."""
    changed({MANIFEST: served.repos["org/two"].files["manifests/discrimination-p32/manifest.json"]})
    with pytest.raises(DamagedError, match="not of 'squiggles'"):
        from_hub("org/bad", "squiggles", "train")


WRONG = {
    "config": (["org/two", "rmts", "train"], "no dataset 'rmts'; known: discrimination-p32, squ"),
    "mini": (["org/two", "mini", "train"], "use load_dataset"),
    "split": (["org/two", "squiggles", "trian"], "unknown split 'trian'"),
    "repository": (["org/none", "squiggles", "train"], "there is no org/none on the Hub"),
    "repo id": (["two", "squiggles", "train"], "repo id 'two' is malformed"),
    "traversal": (["org/two", "../squiggles", "train"], "config '../squiggles' is malformed"),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes(case, home):
    """Each mistake is one line that says what there is."""
    words, told = WRONG[case]
    with pytest.raises(InputError) as caught:
        from_hub(*words)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_token_that_is_refused(home):
    """A wrong token is one line."""
    with pytest.raises(InputError, match="refuses the token") as caught:
        from_hub("org/two", "squiggles", "train", token="hf_no")
    assert "\n" not in str(caught.value)


def test_more_mistakes(home):
    """Revision, column and hold_out that there are not."""
    cases = {
        "has no revision 'v9'": {"revision": "v9"},
        "unknown column 'x'": {"columns": ["x"]},
        "is for grids of factors": {"hold_out": "scale>=2"},
    }
    for told, how in cases.items():
        with pytest.raises(InputError, match=told) as caught:
            from_hub("org/two", "squiggles", "train", **how)
        assert "\n" not in str(caught.value)


def test_grids_of_factors(monkeypatch, tmp_path):
    """A grid comes back as a FactorDataset, by its own splits and by one's own."""
    use_tiny(monkeypatch, "dsprites")
    made = generate(
        make_recipe("dsprites", 0, tasks.get("dsprites").options()), tmp_path / "set", workers=1
    )
    with test_hub.running() as running:
        test_hub.use(monkeypatch, running.url, tmp_path)
        publish([tmp_path / "set"], "org/grid")
        for split, how in (
            ("extrapolation_train", {}),
            ("test", {"hold_out": "scale>=2"}),
        ):
            data = from_hub("org/grid", made.name, split, **how)
            local = FactorDataset(tmp_path / "set", split, **how)
            assert isinstance(data, FactorDataset)
            rows = range(0, len(local), max(1, len(local) // 5))
            for ours, theirs in zip(data.batch(rows), local.batch(rows), strict=True):
                assert ours.equal(theirs)
        data = from_hub("org/grid", made.name, "grid", columns=["scale"])
        assert type(data) is StimulusDataset
