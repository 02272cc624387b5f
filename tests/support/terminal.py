"""Make the pictures of a terminal in the documents, in a browser: `make pictures`.

A text is shown as it is, its first line as the command that was typed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image
from support import browser, paths

PICTURES = paths.ROOT / "examples" / "pictures"
FILM = paths.ROOT / "examples" / "big-buck-bunny.mp4"
PROGRAM = str(Path(sysconfig.get_path("scripts"), "video-restyle"))
COLUMNS = "92"
STYLE = """
body { margin: 0; background: #16181d }
pre { margin: 0; padding: 18px 22px; display: inline-block; color: #d6d9df;
      font: 15px/1.42 "DejaVu Sans Mono", monospace }
i { color: #8ab4f8; font-style: normal }
b { color: #fff }
b.heading { color: #f0c674 }
"""


def said_by(folder: Path, *words: str) -> str:
    """Return a command and what it says, run in a folder."""
    done = subprocess.run(
        [PROGRAM, *words],
        cwd=folder,
        env={**os.environ, "COLUMNS": COLUMNS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return f"$ video-restyle {' '.join(words)}\n{done.stdout}"


def draw(text: str, path: Path) -> None:
    """Write the picture of a terminal that shows this text."""
    lines = "\n".join(map(_marked, text.rstrip().splitlines()))
    with browser.opened() as chromium:
        view = chromium.new_page(device_scale_factor=1.5, viewport={"width": 1400, "height": 900})
        view.set_content(f"<style>{STYLE}</style><pre>{lines}</pre>")
        shot = view.locator("pre").screenshot()
    Image.open(BytesIO(shot)).convert("RGB").save(path, lossless=True, quality=100)


def _marked(line: str) -> str:
    if line.startswith("$ "):
        return f"$ <b>{escape(line[2:])}</b>"
    if re.fullmatch(r"[A-Z][\w ]+:", line):
        return f'<b class="heading">{line}</b>'
    return re.sub(r"(?<![\w-])(--?[a-z][\w-]*)", r"<i>\1</i>", escape(line))


def main() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        draw(said_by(folder, "-h"), PICTURES / "terminal-help.webp")
        shutil.copy(FILM, folder / "film.mp4")
        run = said_by(folder, "film.mp4", "film-clay.mp4", "--backend", "preview")
        draw(run, PICTURES / "terminal-run.webp")


if __name__ == "__main__":
    main()
