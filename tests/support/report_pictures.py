"""Make the pictures of the report page in the documents, in a browser: `make pictures`."""

from __future__ import annotations

import shutil
import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect
from support import browser
from support.terminal import FILM, PICTURES, said_by

WIDTH_PX = 960
OPTIONS = ("--backend", "preview:anime", "--save-interp")


def save(page: Page, name: str) -> None:
    """Write the picture of a page, once all that it shows has been loaded."""
    page.wait_for_load_state("networkidle")
    shot = Image.open(BytesIO(page.screenshot())).convert("RGB")
    size = WIDTH_PX, round(shot.height * WIDTH_PX / shot.width)
    small = shot.resize(size, Image.Resampling.LANCZOS)
    small.save(PICTURES / f"report-{name}.jpg", quality=82, optimize=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as made, browser.opened() as chromium:
        shutil.copy(FILM, Path(made) / "film.mp4")
        said_by(Path(made), "film.mp4", "film-anime.mp4", *OPTIONS)
        report = (Path(made) / "film-anime.restyle" / "interp" / "report.html").as_uri()
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(report)
        save(page, "overview")
        page.goto(f"{report}#slide-40")
        expect(page.locator("#charts svg")).to_have_count(2)
        save(page, "scene")
        page.goto(f"{report}#play-58")
        expect(page.locator("#film-slide")).to_have_attribute("data-shown", "57")
        save(page, "play")


if __name__ == "__main__":
    main()
