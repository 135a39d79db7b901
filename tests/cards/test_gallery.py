"""The gallery's data: which stimuli, how they are packed, how large a page is, what enters it."""

import base64
import json
import re
import zlib
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from samediff_stimuli import generate, make_recipe, tasks
from samediff_stimuli.cards import gallery, gallery_packing, gallery_page, validated
from samediff_stimuli.cli import main
from samediff_stimuli.manifest import load
from samediff_stimuli.reading import SplitReader
from samediff_stimuli.recipe import InputError
from tests.factor_sets import use_tiny
from tests.gallery_sets import HOSTILE, imported, report


class Blocks(HTMLParser):
    """What a page consists of: names of elements, and the text of each script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.links, self._open = [], {}, [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        attrs = dict(attrs)
        self.links += [attrs[name] for name in ("src", "href") if name in attrs]
        self._open = attrs.get("id", "code") if tag == "script" else None

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open:
            self.scripts[self._open] = self.scripts.get(self._open, "") + data


def written(folder, out, limit=gallery.MAX_STIMULI):
    """A gallery as its text, its blocks and what it says of the dataset."""
    gallery_page.write_gallery(folder, load(folder), out, limit)
    text = out.read_text()
    blocks = Blocks(text)
    return text, blocks, json.loads(blocks.scripts["about"])


def data_of(blocks, name):
    """The bytes of a block."""
    return base64.b64decode(blocks.scripts[f"block-{name}"])


def counted(data):
    """(gap, length, object) of each run; see `gallery_packing.runs`."""
    numbers, value, shift = [], 0, 0
    for byte in data:
        value, shift = value | (byte & 127) << shift, shift + 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    return np.array(numbers, dtype=int).reshape(-1, 3)


def drawn(data, shape):
    """The instance map that runs stand for."""
    flat, at = np.zeros(shape[0] * shape[1], dtype=np.uint8), 0
    for gap, length, number in counted(data):
        flat[at + gap : at + gap + length] = number
        at += gap + length
    return flat.reshape(shape)


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (300, 200)])
def test_runs_give_the_map_back(shape):
    """Run lengths stand for the whole instance map, blank, full, or of neighbours."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    for values in (x * 0, x * 0 + 3, (x + 2 * y) // 3 % 4, (x > shape[1] // 2) * 2, y % 2):
        values = values.astype(np.uint8)
        np.testing.assert_array_equal(drawn(gallery_packing.runs(values), shape), values)


def test_columns_are_packed_narrow_and_whole():
    """Every column comes back from its place, in the narrowest type that holds it."""
    table = {
        "small": np.arange(5, dtype=np.int64),
        "signed": np.array([-1, 300, 0, 0, 0]),
        "huge": np.array([2**60, 0, 0, 0, 1]),
        "real": np.linspace(0, 1, 15).reshape(5, 3),
    }
    places, stream = gallery_packing.pack_columns(table)
    assert [place["kind"] for place in places] == ["u1", "i2", "i8", "f8"]
    data = zlib.decompress(stream)
    for values, place in zip(table.values(), places, strict=True):
        assert place["offset"] % 8 == 0
        found = np.frombuffer(data, f"<{place['kind']}", values.size, place["offset"])
        np.testing.assert_array_equal(found.reshape(values.shape), values)


def test_choice_is_even_and_of_whole_groups(made):
    """Splits are shown evenly, in whole matched groups; a limit out of range is refused."""
    manifest = load(made["rmts"])
    chosen = gallery.choose(manifest, 100)
    sizes = {name: len(rows) for name, rows in chosen.items()}
    assert sum(sizes.values()) <= 100
    assert max(sizes.values()) - min(sizes.values()) <= 4
    for rows in chosen.values():
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(
            rows.reshape(-1, 4) % 4, np.tile(range(4), (len(rows) // 4, 1))
        )
    everything = gallery.choose(manifest, 20_000)
    for split in tasks.get("rmts").splits(manifest.recipe):
        np.testing.assert_array_equal(everything[split.name], np.arange(split.rows))
    assert {len(rows) for rows in gallery.choose(manifest, 1).values()} == {4}
    for limit in (0, -1, 20_001):
        with pytest.raises(InputError, match=r"limit .* legal: 1 \.\. 20000"):
            gallery.choose(manifest, limit)


@pytest.mark.parametrize("name", ["rmts", "dissociation", "photoreal", "squiggles"])
def test_page_holds_what_the_dataset_holds(made, tmp_path, name):
    """Columns, pictures and masks in the page are the dataset's; one page, and nothing fetched."""
    folder = made[name]
    manifest, task = load(folder), tasks.get(name)
    text, blocks, about = written(folder, tmp_path / "page.html")
    assert about["shown"] == sum(split["rows"] for split in about["splits"])
    assert blocks.tags.count("link") == 1
    assert {link[:1] for link in blocks.links} == {"#", "d"}  # of this page, and the empty icon
    assert "http:" not in re.sub(r"http://www.w3.org/2000/svg", "", text)
    data = zlib.decompress(data_of(blocks, "columns"))
    start = 0
    packed = {c["name"]: place for c, place in zip(about["columns"], about["packed"], strict=True)}
    masks = zlib.decompress(data_of(blocks, "masks"))
    offsets = np.frombuffer(masks, "<u4", about["shown"] + 1)
    sheet = Image.open(BytesIO(data_of(blocks, "sheet-0"))).convert("RGB")
    thumbs = about["thumbs"]
    shape = thumbs["height"], thumbs["width"]
    for split in task.splits(manifest.recipe):
        reader = SplitReader(folder, manifest, split.name)
        for column, values in reader.table.items():
            place, each = packed[column], int(np.prod(values.shape[1:]))
            kind = np.dtype(f"<{place['kind']}")
            offset = place["offset"] + start * each * kind.itemsize
            found = np.frombuffer(data, kind, values.size, offset)
            np.testing.assert_array_equal(found.reshape(values.shape), values)
        maps = task.instances(manifest.recipe, split.name, reader.table.rows([0, 1]))
        for row in (0, 1):
            a, b = (4 * (about["shown"] + 1) + offsets[start + row + i] for i in (0, 1))
            np.testing.assert_array_equal(drawn(masks[a:b], shape), maps[row])
        if start == 0:
            picture = np.asarray(sheet.crop((0, 0, shape[1], shape[0])), dtype=float)
            assert np.abs(picture - reader.images([0])[0]).mean() < 6
        start += split.rows


def test_grids_and_imported_sets(tmp_path, monkeypatch):
    """Factors are filters with their levels; what a set lacks, boxes, masks, is not offered."""
    use_tiny(monkeypatch, "dsprites")
    grid = tmp_path / "grid"
    generate(make_recipe("dsprites", 0), grid, workers=1, parquet=False)
    _, blocks, about = written(grid, tmp_path / "grid.html", 400)
    classes = {column["name"]: column["classes"] for column in about["columns"]}
    assert classes["shape"] == ["square", "ellipse", "heart"]
    assert (len(classes["posX"]), classes["posX"][0]) == (4, "0")
    assert (about["label"], about["objects"], about["masks"], about["patches"]) == (
        "shape",
        0,
        False,
        [16, 32],
    )
    assert "block-masks" not in blocks.scripts
    whole = load(grid).counts("random_train")["shape"]
    assert about["balance"][0]["counts"][0] == whole
    assert about["splits"][0]["name"] == "random_train"
    _, _, about = written(imported(tmp_path), tmp_path / "mine.html")
    assert (about["objects"], about["masks"], about["patches"]) == (0, False, [])


def test_licence_is_the_card_s(made, tmp_path):
    """Of imported images the page says what their card says; nothing is claimed without one."""
    folder = imported(tmp_path)
    assert gallery.about(folder, load(folder))["license"] == "cc0-1.0"
    assert gallery.about(made["rmts"], load(made["rmts"]))["license"] == "cc-by-4.0"
    (folder / "README.md").write_text("---\nlicense: [\n---\n")
    assert gallery.about(folder, load(folder))["license"] == "unknown"
    (folder / "README.md").unlink()
    assert gallery.about(folder, load(folder))["license"] == "unknown"


def test_words_of_a_dataset_are_never_markup(tmp_path):
    """A class whose name is an element enters the page as data, and only as data."""
    text, blocks, about = written(imported(tmp_path), tmp_path / "mine.html")
    assert HOSTILE in about["columns"][1]["classes"]
    assert "img" not in blocks.tags
    assert HOSTILE not in text
    for name in ("<!--<script>", "</script><img>", "]]>", "{{script}}", "&lt;", "\u2028"):
        page = gallery_page.page({"name": name, "served": False})
        found = Blocks(page)
        assert json.loads(found.scripts["about"])["name"] == name
        assert found.tags == Blocks(gallery_page.page({"name": "a", "served": False})).tags
        assert found.scripts["code"] == gallery_page.script()
    assert ".innerHTML" not in gallery_page.script()


def test_policy_lets_no_other_script_run():
    """The page's policy names the digest of its one script, and no place to fetch from."""
    policy = gallery_page.policy(served=False)
    assert "default-src 'none'" in policy
    assert re.search(r"script-src 'sha256-[\w+/]{43}='", policy)
    assert "connect-src 'none'" in policy


def test_training_curves_are_of_this_dataset(copied, tmp_path):
    """Curves and results of a report of the same content are shown; of another's not."""
    manifest = load(copied)
    assert gallery.training(copied, manifest) == []
    path = copied / validated.REPORT
    path.write_text(json.dumps(report(manifest.digest())))
    (run,) = gallery.training(copied, manifest)
    assert run["name"] == "quick/small"
    assert [one["name"] for one in run["series"]] == ["validation", "train"]
    assert run["series"][0]["points"] == [(1, 0.6), (3, 0.9)]  # one epoch gave no number
    assert run["reached"][0] == {"split": "test", "n": 48, "value": 0.9, "low": 0.8, "high": 1.0}
    path.write_text(json.dumps(report("0" * 64)))
    assert gallery.training(copied, manifest) == []
    path.write_text(json.dumps(report(manifest.digest()) | {"recipes": {"quick": {}}}))
    assert gallery.training(copied, manifest) == []  # no report of ours
    found = report(manifest.digest())
    small = found["recipes"]["quick"]["runs"]["small"]
    small["curve"][1] |= {"train": None, "validation": None}  # as validate writes what is no number
    path.write_text(json.dumps(found))
    assert gallery.training(copied, manifest) == [run]
    for curve in (None, [{}], [{"epoch": 0, "train": "x", "validation": 0.5}]):
        small["curve"] = curve
        path.write_text(json.dumps(found))
        assert gallery.training(copied, manifest) == []
    del small["curve"]
    path.write_text(json.dumps(found))
    assert gallery.training(copied, manifest) == []


def test_thumbnails_shrink_to_the_budget(made):
    """Where full pictures take too many bytes, smaller ones are shown."""
    manifest = load(made["shapes"])
    stimuli = gallery_packing.Stimuli(
        made["shapes"], manifest, gallery.choose(manifest, gallery.MAX_STIMULI)
    )
    full = gallery_packing.thumbs_for(stimuli)
    assert (full.width, full.height) == (224, 224)
    small = gallery_packing.thumbs_for(stimuli, budget=100 * len(stimuli))
    assert small.width < 100
    total = sum(map(len, gallery_packing.sheets(stimuli, small)))
    assert total < 120 * len(stimuli)
    assert len(list(gallery_packing.sheets(stimuli, full))) == -(-len(stimuli) // full.each)


def test_command_writes_a_page_or_says_why_not(made, tmp_path):
    """`preview --html` names the file; bad arguments give one line, and leave nothing."""
    run = CliRunner()
    out = tmp_path / "page.html"
    done = run.invoke(main, ["preview", str(made["rmts"]), "--html", "--out", str(out)])
    assert (done.exit_code, done.stdout.strip()) == (0, str(out))
    before = out.read_bytes()
    for words, says in (
        (["--html", "--limit", "0"], "limit 0 is out of range; legal: 1 .. 20000"),
        (["--limit", "5"], "--limit 5 is of a gallery; give --html as well"),
        (["--html", "--out", str(tmp_path)], "is a folder; give a file name"),
        (["--html", "--out", str(tmp_path / "manifest.json")], "legal: one that ends in .html"),
        (["--html", "--out", str(tmp_path / "no" / "a.html")], "there is no folder"),
    ):
        done = run.invoke(main, ["preview", str(made["rmts"]), "--out", str(out), *words])
        assert done.exit_code == 2, words
        assert says in done.stderr
    assert out.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
