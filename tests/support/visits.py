"""Visit report pages in a real browser, as a user opens them: from disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, FloatRect, Locator, Page, expect
from support.programs import LONGEST_S

expect.set_options(timeout=1000 * LONGEST_S)

# Of each text, the contrast with its ground; those below 4.5 (WCAG 2.2, AA) are returned.
CONTRAST = """() => {
    const luminance = (colour) => {
        const [r, g, b] = colour.match(/[\\d.]+/g).map((part) => {
            const value = part / 255;
            return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const colour = getComputedStyle(each).backgroundColor;
            if (!/, 0\\)$/.test(colour)) return colour;
        }
        return "rgb(255, 255, 255)";
    };
    const poor = [];
    for (const element of document.querySelectorAll("body *")) {
        const texts = [...element.childNodes].filter((node) => node.nodeType === 3);
        const words = texts.some((node) => node.data.trim());
        if (!words || !element.checkVisibility() || element.matches("script, :disabled")) continue;
        if (element.matches(".button:not([href])")) continue;
        const [light, dark] = [getComputedStyle(element).color, ground(element)]
            .map(luminance).sort((a, b) => b - a);
        const ratio = (light + 0.05) / (dark + 0.05);
        if (ratio < 4.5) poor.push(`${element.tagName} ${element.textContent}: ${ratio}`);
    }
    return poor;
}"""


@dataclass
class Visit:
    """A page, and what it did that it should not do."""

    page: Page
    path: Path
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def go(self, place: str = "") -> Visit:
        self.page.goto(self.path.as_uri() + place)
        return self

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def shown(self, kind: str) -> str | None:
        """Return the number that the player's "frame" or "slide" shows."""
        return self.find(f"#play-{kind}").get_attribute("data-shown")

    def count(self, what: str) -> int:
        found = self.page.evaluate(what)
        assert isinstance(found, int)
        return found

    def box(self, selector: str) -> FloatRect:
        found = self.find(selector).bounding_box()
        assert found is not None
        return found

    def violations(self) -> str:
        """Return what axe-core finds against accessibility; empty if nothing."""
        results = Axe().run(self.page)
        return results.generate_report() if results.violations_count else ""


Open = Callable[..., Visit]


@contextmanager
def visits(browser: Browser) -> Iterator[Open]:
    """Open pages; at the end none of them may have complained, or asked for the network."""
    all_of_them: list[Visit] = []

    def begin(path: Path, **context: Any) -> Visit:
        page = browser.new_page(**context)
        page.set_default_timeout(1000 * LONGEST_S)
        all_of_them.append(its := Visit(page, path))
        page.on("request", lambda request: its.requests.append(request.url))
        page.on("console", lambda message: its.complaints.append(message.text))
        page.on("requestfailed", lambda request: its.complaints.append(f"failed: {request.url}"))
        page.on("pageerror", lambda error: its.complaints.append(str(error)))
        return its

    yield begin
    for its in all_of_them:
        assert its.complaints == [], its.complaints
        folder = its.path.parent.parent
        film = (folder.parent if folder.suffix == ".restyle" else folder).as_uri()
        assert [url for url in its.requests if not url.startswith(film)] == []
        its.page.close()


def shows_picture(image: Locator) -> None:
    expect(image).to_have_js_property("complete", True)
    expect(image).not_to_have_js_property("naturalWidth", 0)
