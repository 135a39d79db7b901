"""Shows the trials of trials.csv with PsychoPy and saves the answers as CSV.

    python psychopy_experiment.py --participant 2 --id S07

shows the second list; `--id` is the code that is saved, so that several people may see one list.
Answers go to responses-CODE.csv beside this file, line by line; Escape ends the experiment early.
The monitor is the one that trials.json states: if yours has other pixels per cm, or you sit
elsewhere, export the trials again.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIXATION_S = 0.5
ESCAPE = "escape"
GREY, BLACK = (0.7, 0.7, 0.7), (-1.0, -1.0, -1.0)  # PsychoPy's colours go from -1 to 1

Row = Mapping[str, str]


def read_trials(folder: Path, participant: int) -> tuple[Mapping[str, Any], list[Row]]:
    """What holds for all trials, and one participant's trials in order.

    Raises:
        SystemExit: if there is no such list.
    """
    settings = json.loads((folder / "trials.json").read_text(encoding="utf-8"))["experiment"]
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows: list[Row] = list(csv.DictReader(file))
    own = [row for row in rows if row["participant"] == str(participant)]
    if not own:
        last = max(int(row["participant"]) for row in rows)
        raise SystemExit(f"there is no list for participant {participant}; there are 1 to {last}")
    return settings, own


def keys_of(row: Row) -> dict[str, str]:
    """Each answer's key, from a trial's columns key_ANSWER."""
    return {name.removeprefix("key_"): key for name, key in row.items() if name.startswith("key_")}


def response_row(row: Row, key: str, seconds: float, code: str) -> dict[str, Any]:
    """A trial, the answer to it, and who gave it."""
    response = next(answer for answer, own in keys_of(row).items() if own == key)
    return {
        **row,
        "response": response,
        "correct": int(response == row["answer"]),
        "score": "",
        "rt": round(seconds, 4),
        "participant": code,
    }


def instructions(settings: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """What is shown first."""
    return (
        f"You will see {len(rows)} pictures, one at a time.\n{settings['about']}\n\n"
        f"Answer as quickly and as accurately as you can:\n{key_table(rows[0])}\n\n"
        f"Please sit {settings['viewing_distance_cm']:g} cm from the screen and look at the cross. "
        "Escape ends and saves.\n\nPress the space bar to begin."
    )


def key_table(row: Row) -> str:
    """The keys and their answers."""
    pairs = sorted((key, answer) for answer, key in keys_of(row).items())
    return "\n".join(f"{key.upper()}: {answer}" for key, answer in pairs)


def breaks(rows: Sequence[Row]) -> Iterator[tuple[Row, str | None]]:
    """Each trial, and what is shown before it, at the beginning of all parts but the first."""
    last = rows[-1]["block"]
    for before, row in zip((None, *rows), rows, strict=False):
        if before is None or before["block"] == row["block"]:
            yield row, None
        else:
            done = f"Part {before['block']} of {last} is done. Rest your eyes."
            yield row, f"{done}\n\n{key_table(row)}\n\nPress the space bar to go on."


class Display:
    """The window, and what is shown in it; sizes in degrees of visual angle.

    Args:
        settings: of the experiment.
        windowed: a window of 1000 x 800 pixels instead of the whole screen.
    """

    def __init__(self, settings: Mapping[str, Any], windowed: bool) -> None:
        """Open the window on a monitor of the stated pixels per cm and distance."""
        from psychopy import monitors, visual
        from psychopy.hardware import keyboard

        monitor = monitors.Monitor("stated", distance=settings["viewing_distance_cm"])
        size = {"size": (1000, 800)} if windowed else {"fullscr": True}
        monitor.setSizePix((1000, 800))
        monitor.setWidth(1000 / settings["pixels_per_cm"])
        self.window = visual.Window(**size, monitor=monitor, units="deg", color=GREY)
        self.window.mouseVisible = False
        # The same pixels per cm, whatever the size of the screen turns out to be.
        monitor.setSizePix(self.window.size)
        monitor.setWidth(self.window.size[0] / settings["pixels_per_cm"])
        self.monitor, self.keyboard = monitor, keyboard.Keyboard()
        self.cross = visual.TextStim(self.window, text="+", height=0.8, color=BLACK)
        self.words = visual.TextStim(self.window, height=0.6, wrapWidth=16, color=BLACK)
        self.picture = visual.ImageStim(self.window)

    def say(self, text: str) -> bool:
        """Show text until the space bar is pressed; False if it was Escape."""
        self.words.text = text
        self.words.draw()
        self.window.flip()
        return self._key(["space"])[0] != ESCAPE

    def ask(self, image: Path, size: tuple[float, float], keys: Sequence[str]) -> tuple[str, float]:
        """Show the cross, then an image until a key is pressed: the key and the seconds it took.

        Args:
            image: the file.
            size: its width and height in pixels, each of which becomes one of the screen.
            keys: that are legal, besides Escape.
        """
        from psychopy import core
        from psychopy.tools.monitorunittools import pix2deg

        self.cross.draw()
        self.window.flip()
        # PsychoPy's "deg" are all of the size of the middle one, so its own inverse is what lands
        # on whole pixels; trials.csv has the angle itself.
        self.picture.image = str(image)
        self.picture.size = [pix2deg(side, self.monitor) for side in size]
        core.wait(FIXATION_S)
        self.picture.draw()
        self.window.callOnFlip(self.keyboard.clock.reset)
        self.window.flip()
        return self._key(keys)

    def _key(self, keys: Sequence[str]) -> tuple[str, float]:
        """The next of some keys, or Escape, and the seconds since the clock was reset."""
        self.keyboard.clearEvents()
        found = self.keyboard.waitKeys(keyList=[*keys, ESCAPE], waitRelease=False)[0]
        return str(found.name), float(found.rt)

    def close(self) -> None:
        """Close the window."""
        self.window.close()


def run(
    display: Display, settings: Mapping[str, Any], rows: Sequence[Row]
) -> Iterator[tuple[Row, str, float]]:
    """Each trial, the key that was pressed and the seconds it took, to the last or Escape."""
    if not display.say(instructions(settings, rows)):
        return
    for row, text in breaks(rows):
        if text is not None and not display.say(text):
            return
        size = float(row["width_px"]), float(row["height_px"])
        key, seconds = display.ask(HERE / row["image"], size, list(keys_of(row).values()))
        if key == ESCAPE:
            return
        yield row, key, seconds


def main(words: Sequence[str] | None = None) -> None:
    """Run the experiment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--participant", type=int, default=1, help="which list; default 1")
    parser.add_argument("--id", help="code that is saved; default person-N")
    parser.add_argument("--windowed", action="store_true", help="do not use the whole screen")
    given = parser.parse_args(words)
    settings, rows = read_trials(HERE, given.participant)
    code = given.id or f"person-{given.participant}"
    safe = "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in code)
    path = HERE / f"responses-{safe}.csv"
    if path.exists():
        sys.exit(f"{path} is there already; give another --id, or move it away")
    display = Display(settings, given.windowed)
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            columns = settings["response_columns"]
            writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            for row, key, seconds in run(display, settings, rows):
                writer.writerow(response_row(row, key, seconds, code))
                file.flush()
    finally:
        display.close()
    print(path)


if __name__ == "__main__":
    main()
