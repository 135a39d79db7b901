"""A headless Chromium with a gallery in it, for tests and benchmarks."""

import os
import shutil
import time
from contextlib import contextmanager

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

PATIENCE = 60  # seconds: machines of tests are busy
PHONE = {"width": 390, "height": 844, "pixelRatio": 2, "touch": True}
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def started(phone=False):
    """A browser of this machine; its driver is the one on the PATH."""
    options = webdriver.ChromeOptions()
    options.binary_location = next(filter(None, map(shutil.which, NAMES)), "")
    for word in ("--headless", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(word)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium has none for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if phone:
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": PHONE})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        yield browser
    finally:
        browser.quit()


class Page:
    """A gallery that is shown; what changes it returns when it is painted anew."""

    def __init__(self, browser, address):
        self.browser = browser
        browser.get("about:blank")
        browser.get(address)
        self.until("return document.documentElement.dataset.painted")

    def run(self, code, *arguments):
        return self.browser.execute_script(code, *arguments)

    def until(self, code, *arguments):
        """Wait until a script gives something true."""
        end = time.monotonic() + PATIENCE
        while not self.run(code, *arguments):
            assert time.monotonic() < end, f"not within {PATIENCE} s: {code}"
            time.sleep(0.02)

    def _painted(self, act):
        """Do something, and wait until all is painted that it changed, if anything."""
        before = self.run("return document.documentElement.dataset.painted")
        act()
        self.until("return document.documentElement.dataset.painted !== arguments[0]", before)

    def find(self, where, number=0):
        return self.browser.find_elements(By.CSS_SELECTOR, where)[number]

    def click(self, where, number=0):
        found = self.find(where, number)
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
        quiet = where.startswith(".card") or where == "#close"
        found.click() if quiet else self._painted(found.click)

    def choose(self, where, text):
        select = Select(self.find(where))
        if where == "#column":
            select.select_by_visible_text(text)
        else:
            self._painted(lambda: select.select_by_visible_text(text))

    def type(self, where, text):
        field = self.find(where)
        field.clear()
        self._painted(lambda: field.send_keys(text))

    def hover(self, where, number):
        found = self.find(where, number)
        self.run("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", found)
        ActionChains(self.browser).move_to_element(found).perform()

    def press(self, *names):
        ActionChains(self.browser).send_keys(*(getattr(Keys, name) for name in names)).perform()

    def focused(self):
        return self.run("return document.activeElement.ariaLabel ?? ''")

    def status(self):
        return self.text("#status")

    def text(self, where):
        return self.run("return document.querySelector(arguments[0]).innerText", where)

    def shown(self, where):
        return self.find(where).is_displayed()

    def enabled(self, where):
        return self.find(where).is_enabled()

    def cards(self):
        """What a screen reader says of each card."""
        return self.run("return [...document.querySelectorAll('.card')].map((e) => e.ariaLabel)")

    def pixels(self, where):
        """A canvas as an address that holds its picture."""
        return self.run("return document.querySelector(arguments[0]).toDataURL()", where)

    def ink(self, where):
        """Pixels of a canvas that are drawn and not like the first one."""
        self.until("return document.querySelector(arguments[0]).width > 0", where)
        return self.run(
            """const canvas = document.querySelector(arguments[0]);
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            let n = 0;
            for (let i = 0; i < data.length; i += 4) {
              n += data[i + 3] > 0 && [0, 1, 2].some((c) => Math.abs(data[i + c] - data[c]) > 20);
            }
            return n""",
            where,
        )
