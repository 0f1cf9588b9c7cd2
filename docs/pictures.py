"""Draw the pictures of the pages: what charlm shows on a terminal, of a training that is made for it.

    python docs/pictures.py            three minutes of Shakespeare: docs/training.svg, docs/surprisal.svg
    python docs/pictures.py notes.txt --minutes 1

Nothing is composed: the live view is charlm's own, as it stands when two thirds of the time have passed, and the text
in colours is what `charlm eval --surprisal -` writes to a terminal.
"""

from __future__ import annotations

import argparse
import io
import os
import pty
import subprocess
import sys
import tempfile
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from charlm.cli.live_view import LiveView
from charlm.cli.screen import Draw, Line, Screen
from charlm.cli.training_run import title_of
from charlm.config import call_layer, resolve
from charlm.training import start_training
from charlm.training.events import Sampled, Stepped

DOCS = Path(__file__).parent
COLUMNS, ROWS = 96, 26
# the picture of a training: when so much of it is done
SHARE = 2 / 3
# written for this picture: the second speaker is not of Shakespeare's time
SCENE = """\
KING HENRY:
What news, good cousin? Is the battle won,
And do my soldiers hold the northern gate?

MESSENGER:
My lord, the printer is still out of paper,
And somebody has parked a van before the gate.

KING HENRY:
Then let us to the field, and die like men.
"""
FRAME = """<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
.{unique_id}-title {{ font: 600 18px system-ui, sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class Kept(Screen):
    """A terminal of `COLUMNS` x `ROWS` that nobody sees: its last picture is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.picture: list[Line] = []

    def open(self) -> None:
        """There is nothing to take."""

    def draw(self, draw: Draw) -> None:
        """Keep it."""
        self.picture = draw(COLUMNS, ROWS)

    def close(self) -> None:
        """There is nothing to give back."""


def svg(content: Text, title: str, unique_id: str) -> str:
    """A terminal's window with the text in it."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(content)
    return console.export_svg(title=title, code_format=FRAME, unique_id=unique_id)


def train(text: str, minutes: float, root: Path) -> tuple[Path, list[Line]]:
    """Train under charlm's live view; the run's folder, and the picture at `SHARE` of the steps."""
    resolved = resolve([call_layer((text,), {"minutes": minutes})])
    training = start_training(
        resolved.config, run="picture", root=root, now=datetime.now(), free=resolved.free, samples=True
    )
    screen = Kept()
    view = LiveView(screen)
    view.open(title_of(training))
    chosen: list[Line] = []
    sampled = False
    for event in training.events():
        view.show(event)
        sampled = sampled or isinstance(event, Sampled)
        if not chosen and sampled and isinstance(event, Stepped) and event.step >= SHARE * event.steps_planned:
            chosen = screen.picture
    return training.run.folder, chosen or screen.picture


def in_colours(run: Path, text: str) -> Text:
    """What `charlm eval FILE --surprisal -` writes to a terminal."""
    file = run.parent / "scene.txt"
    file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "charlm", "eval", file.name, "--run", str(run), "--surprisal", "-"]
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, cwd=run.parent, stdout=theirs, stderr=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm-256color"}
    ) as process:
        os.close(theirs)
        written = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return Text.from_ansi(written.decode("utf-8").replace("\r\n", "\n"))


def _read(terminal: int) -> bytes:
    """What is written to a terminal; nothing once its last writer is gone, which Linux calls an error."""
    try:
        return os.read(terminal, 65536)
    except OSError:
        return b""


def main(arguments: list[str] | None = None) -> None:
    """Train, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="?", default="shakespeare", help="what to train on")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--into", type=Path, default=DOCS, help="where the pictures go")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        run, picture = train(asked.text, asked.minutes, Path(folder))
        shown = Text("\n").join(Screen.text(line, COLUMNS) for line in picture)
        title = f"charlm train {asked.text} --minutes {asked.minutes:g}"
        (asked.into / "training.svg").write_text(svg(shown, title, "training"), encoding="utf-8")
        coloured = in_colours(run, SCENE)
        title = "charlm eval scene.txt --surprisal -"
        (asked.into / "surprisal.svg").write_text(svg(coloured, title, "surprisal"), encoding="utf-8")


if __name__ == "__main__":
    main()
