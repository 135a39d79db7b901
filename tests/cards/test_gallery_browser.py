"""The gallery as people use it, in headless Chromium: mouse, keyboard, phone, no errors."""

import json
import re
import shutil
import time

import numpy as np
import pytest

from samediff_stimuli import generate, make_recipe
from samediff_stimuli.cards import gallery_page, validated
from samediff_stimuli.manifest import load
from tests.browser import Page, started
from tests.cards.test_serving import serving
from tests.factor_sets import use_tiny
from tests.gallery_sets import imported, report

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def desktop():
    """A browser of a desktop."""
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def written(made, tmp_path_factory):
    """The address of a gallery of a validated rmts set."""
    root = tmp_path_factory.mktemp("gallery")
    folder = shutil.copytree(made["rmts"], root / "rmts")
    text = json.dumps(report(load(folder).digest()))
    (folder / validated.REPORT).write_text(text)
    gallery_page.write_gallery(folder, load(folder), root / "page.html", 20_000)
    return (root / "page.html").as_uri()


@pytest.fixture(params=["file", "served"])
def page(request, desktop, written, made):
    """The same page from a file and from the server; it must leave no error behind."""
    if request.param == "file":
        yield Page(desktop, written)
    else:
        with serving(made["rmts"]) as port:
            yield Page(desktop, f"http://127.0.0.1:{port}/")
    assert desktop.get_log("browser") == []


def test_first_page_and_paging(page):
    """Some cards are there at once and painted; buttons and the number turn pages."""
    assert page.status() == "264 stimuli, page 1 of 5"
    assert len(page.cards()) == 60
    assert page.ink(".card canvas") > 100
    page.click("#next")
    assert page.status() == "264 stimuli, page 2 of 5"
    assert page.cards()[0].startswith("train, row 60: label ")
    page.type("#page", "5\n")
    assert (page.status(), len(page.cards())) == ("264 stimuli, page 5 of 5", 24)
    assert not page.enabled("#next")
    page.choose("#count", "240")
    assert (page.status(), len(page.cards())) == ("264 stimuli, page 1 of 2", 240)


SLOW = """const real = window.fetch, [part, wait] = arguments;
window.fetch = async (path, ...more) => {
  if (path.startsWith(part)) await new Promise((then) => setTimeout(then, wait));
  return real(path, ...more);
};"""


@pytest.fixture
def served(desktop, made):
    """The page from the server."""
    with serving(made["rmts"]) as port:
        yield Page(desktop, f"http://127.0.0.1:{port}/")


def test_a_page_turned_while_painting_is_shown(served):
    """Next, pressed while a switch has all painted anew, turns the page, and all is at rest."""
    served.run(SLOW, "mask/", 100)
    served.run(SLOW, "rows", 1000)
    served.run("document.getElementById('masks').click(); document.getElementById('next').click();")
    served.until("return document.getElementById('status').innerText.includes('page 2 of 5')")
    served.until("return !document.getElementById('cards').hasAttribute('aria-busy')")


def test_an_error_ends_the_wait(served):
    """Where stimuli cannot be fetched, the page says so and is not busy for ever."""
    served.run("window.fetch = async () => { throw new Error('gone'); };")
    served.run("document.getElementById('next').click();")
    served.until("return document.getElementById('status').innerText === 'Not shown: gone'")
    assert served.run("return !document.getElementById('cards').hasAttribute('aria-busy')")


def test_a_late_picture_is_not_drawn_over_a_later_one(served):
    """The scene shows the last stimulus that was pointed at, in whatever order pictures come."""
    first = served.cards()[0].split(":")[0]
    assert first == "train, row 0"
    served.run(SLOW, "mask/0/0", 2500)
    served.run("document.getElementById('masks').click()")
    served.hover(".card", 1)
    served.hover(".card", 0)
    served.hover(".card", 1)
    time.sleep(0.3)
    found = served.pixels("#large")
    served.until(
        "return performance.getEntriesByType('resource').some((e) => e.name.endsWith('mask/0/0'))"
    )
    time.sleep(0.3)
    assert served.pixels("#large") == found


def test_filters(page):
    """Split, label and factors narrow what is shown, together; one button clears them."""
    page.choose("#split", "validation")
    assert page.status() == "48 stimuli match, page 1 of 1"
    page.choose("[id^=class-]", "same")  # the first class column is the label
    assert page.status() == "24 stimuli match, page 1 of 1"
    assert all("validation, row" in card and "label same" in card for card in page.cards())
    shape = page.run(
        "return [...document.querySelectorAll('#fields label')]"
        ".find((label) => label.textContent.startsWith('shape')).querySelector('select').id"
    )
    page.choose(f"#{shape}", "stair")
    assert all(re.search(r"shape [^;]*stair", card) for card in page.cards())
    assert page.run("return document.getElementById('active').textContent") == (
        "(validation, label same, shape stair)"
    )
    page.click("#clear")
    assert page.status() == "264 stimuli, page 1 of 5"


def test_overlays_are_drawn_over_the_picture(page):
    """Each switch changes the picture of a card, and back."""
    plain = page.pixels(".card canvas")
    for switch in ("#boxes", "#masks", "#grid"):
        page.click(switch)
        assert page.pixels(".card canvas") != plain
        page.click(switch)
        assert page.pixels(".card canvas") == plain
    page.click("#grid")
    wide = page.pixels(".card canvas")
    page.choose("#patch", "16 px")
    assert page.pixels(".card canvas") != wide


def test_scene_by_mouse_and_click(page):
    """Pointing at a stimulus shows its scene; a click keeps it; its matched group can be seen."""
    page.hover(".card", 3)
    assert page.text("#scene-name") == "train, row 3"
    table = page.text("#scene-tables")
    for word in ("role", "display", "pair_id", "shape", "box", "case"):
        assert word in table
    page.click(".card", 5)
    page.hover(".card", 8)
    assert page.text("#scene-name") == "train, row 5"
    assert page.run("return document.querySelectorAll('[aria-pressed=true]').length") == 1
    assert page.ink("#large") > 100
    page.click("#group")
    assert page.status() == "4 stimuli match, page 1 of 1"
    assert [card.split(":")[0] for card in page.cards()] == [f"train, row {n}" for n in range(4, 8)]


def test_keyboard_alone(page):
    """Tab reaches the stimuli once; arrows, Home, End and Page keys go on; Enter and Escape."""
    for _ in range(60):
        page.press("TAB")
        if page.focused().startswith("train, row"):
            break
    assert page.focused().startswith("train, row 0:")
    page.press("ARROW_RIGHT", "ARROW_RIGHT")
    assert page.text("#scene-name") == "train, row 2"
    page.press("ARROW_DOWN", "ARROW_UP", "ARROW_LEFT")
    assert page.focused().startswith("train, row 1:")
    page.press("END")
    assert page.focused().startswith("train, row 59:")
    page.press("PAGE_DOWN")
    page.until("return document.activeElement.ariaLabel?.startsWith('train, row 60:')")
    page.press("ENTER", "ARROW_RIGHT")
    assert page.text("#scene-name") == "train, row 60"
    page.press("ESCAPE", "ARROW_RIGHT")
    assert page.text("#scene-name") == "train, row 62"
    page.press("PAGE_UP")
    page.until("return document.activeElement.ariaLabel?.startsWith('train, row 59:')")
    tabs = page.run("return document.querySelectorAll('.card[tabindex=\"0\"]').length")
    assert tabs == 1


def test_everything_has_a_name(page):
    """Controls, pictures, tables and parts of the page say what they are; the count is live."""
    nameless = page.run(
        """return [...document.querySelectorAll("button, select, input, svg, section, aside")]
        .filter((one) => one.checkVisibility() && !one.ariaLabel && !one.textContent.trim()
          && !one.labels?.length && !one.getAttribute("aria-labelledby"))
        .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    assert page.run("return document.querySelector('[role=status]').ariaLive") == "polite"
    assert page.run("return document.documentElement.lang") == "en"
    assert page.run("return document.querySelectorAll('h1').length") == 1


def test_charts(desktop, written):
    """Balance charts count the manifest's classes; curves are there if the set is validated."""
    page = Page(desktop, written)
    charts = page.run("return [...document.querySelectorAll('#bars svg')].map((e) => e.ariaLabel)")
    assert charts[0] == "train: different 48, same 48"
    assert len(charts) == 6
    page.choose("#column", "color")
    assert "pink" in page.run("return document.querySelector('#bars svg').ariaLabel")
    label = page.run("return document.querySelector('#curves svg').ariaLabel")
    assert label == "accuracy by epoch of quick/small; at the end validation 0.9, train 0.9"
    assert "0.800 to 1.000" in page.text("#curves")
    assert desktop.get_log("browser") == []


def test_grid_and_imported_set(desktop, tmp_path, monkeypatch):
    """Factors are filtered by level; a class named like an element is only ever text."""
    use_tiny(monkeypatch, "dsprites")
    generate(make_recipe("dsprites", 0), tmp_path / "grid", workers=1, parquet=False)
    for folder in (tmp_path / "grid", imported(tmp_path)):
        out = tmp_path / f"{folder.name}.html"
        gallery_page.write_gallery(folder, load(folder), out, 400)
        page = Page(desktop, out.as_uri())
        assert page.ink(".card canvas") > 100
        assert not page.shown("#with-boxes")
        assert not page.shown("#with-masks")
        assert page.shown("#with-grid") == (folder.name == "grid")
        page.hover(".card", 0)
        if folder.name == "grid":
            page.choose("#class-5", "2 (0.06452)")
            assert all("posX" not in card for card in page.cards())  # a level, no class
            page.hover(".card", 1)
            assert "2 (0.06452)" in page.text("#scene-tables")
        else:
            assert "<img src=x onerror=" in page.text("#cards")
            assert page.run("return document.querySelectorAll('img').length") == 0
            assert desktop.title == f"{load(folder).name}: gallery"
    assert desktop.get_log("browser") == []


def test_phone(written):
    """On a phone nothing is wider than the screen, and a tap brings the scene up from below."""
    with started(phone=True) as browser:
        page = Page(browser, written)
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        assert not page.run("return document.getElementById('filters').open")
        page.click(".card", 1)
        assert page.text("#scene-name") == "train, row 1"
        box = page.run(
            "const r = document.getElementById('scene').getBoundingClientRect(); "
            "return [r.left, r.bottom - innerHeight, r.right - innerWidth]"
        )
        assert np.abs(box).max() < 2
        page.click("#close")
        assert not page.shown("#scene")
        small = page.run(
            "return [...document.querySelectorAll('.pager button, select')]"
            ".filter((e) => e.checkVisibility() && e.offsetHeight < 40).length"
        )
        assert small == 0
        assert browser.get_log("browser") == []


def test_light_and_dark(desktop, written):
    """The page follows the browser's colour scheme."""
    grounds = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        desktop.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        page = Page(desktop, written)
        grounds.append(page.run("return getComputedStyle(document.body).backgroundColor"))
    desktop.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    light, dark = (sum(map(int, re.findall(r"\d+", ground))) for ground in grounds)
    assert light > 600 > 150 > dark
