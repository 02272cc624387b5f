"""The report page in a real browser, opened from disk as a user opens it."""

from __future__ import annotations

import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from support import browser as browsers
from support import paths
from support.comfy_server import ComfyServer, Run
from support.programs import LONGEST_S, until
from support.runs import Silent, run

from stable_restyle.backends.preview.engine import Preview
from stable_restyle.cli.main import with_command
from stable_restyle.core.errors import RestyleError
from stable_restyle.core.records import Job, Scene, Slide
from stable_restyle.core.settings import Settings
from stable_restyle.media import png, sequence
from stable_restyle.report import page as report_page
from stable_restyle.report.thumbnails import Thumbnails
from stable_restyle.run import reporting
from stable_restyle.workdir import layout
from stable_restyle.workdir.journal import Journal, JsonLines, RunInfo
from stable_restyle.workdir.journal import read as read_journal

MakeFrames = Callable[..., Path]
PAGE_MOST = 2_000_000  # bytes

expect.set_options(timeout=1000 * LONGEST_S)


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
        """The number that the player's "frame" or "slide" shows."""
        return self.find(f"#play-{kind}").get_attribute("data-shown")

    def count(self, what: str) -> int:
        found = self.page.evaluate(what)
        assert isinstance(found, int)
        return found


Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsers.opened() as browser:
        yield browser


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Opens report pages; at the end none of them may have complained, or asked for the network."""
    visits: list[Visit] = []

    def begin(path: Path, **context: Any) -> Visit:
        page = browser.new_page(**context)
        page.set_default_timeout(1000 * LONGEST_S)
        visits.append(its := Visit(page, path))
        page.on("request", lambda request: its.requests.append(request.url))
        page.on("console", lambda message: its.complaints.append(message.text))
        page.on("pageerror", lambda error: its.complaints.append(str(error)))
        return its

    yield begin
    for its in visits:
        assert its.complaints == []
        film = its.path.parent.parent.as_uri()
        assert [url for url in its.requests if not url.startswith(film)] == []
        its.page.close()


@pytest.fixture
def asked(make_frames: MakeFrames, tmp_path: Path) -> Settings:
    """Slides 1-4 and 5-7 in two scenes, the middles are 3 and 6; a folder with an awkward name."""
    make_frames(8, 5)
    film = tmp_path / "a film, 100% #1 é?" if sys.platform != "win32" else tmp_path / "a film #1 é"
    film.mkdir()
    (tmp_path / "in").rename(film / "in")
    return Settings(film / "in", film / "out", backends=("preview:clay",), save_interp=True)


@pytest.fixture
def page(asked: Settings, monkeypatch: pytest.MonkeyPatch) -> Path:
    drawn = Preview.draw

    def draw(preview: Preview, job: Job) -> Slide:
        time.sleep(0.02)  # the journal notes hundredths of a second
        return drawn(preview, job)

    monkeypatch.setattr(Preview, "draw", draw)
    run(with_command(asked))
    return asked.target.parent / "interp" / "report.html"


def shows_picture(image: Locator) -> None:
    expect(image).to_have_js_property("complete", True)
    expect(image).not_to_have_js_property("naturalWidth", 0)


def test_scenes_are_listed(visit: Open, page: Path) -> None:
    its = visit(page).go()
    expect(its.find("#headline")).to_have_text("All 7 slides are drawn")
    expect(its.find("#scenes a")).to_have_count(2)
    first = its.find("#scenes a").first
    expect(first).to_contain_text("Scene 1")
    expect(first).to_contain_text("4 slides")
    expect(first).to_contain_text("done")
    shows_picture(first.locator("img"))
    expect(its.find("#backends")).to_contain_text("preview:clay")
    expect(its.find("#backends svg path")).to_have_attribute("d", re.compile("^M"))
    expect(its.find("#settings")).to_contain_text("4 pixels")
    assert its.page.title() == "out"


def test_a_scene_opens_with_its_slides_and_lines(visit: Open, page: Path) -> None:
    its = visit(page).go()
    its.find("#scenes a").nth(1).click()
    expect(its.find("#scene-title")).to_have_text("Scene 2 of 2")
    expect(its.find("#strip a")).to_have_count(3)
    for index in range(3):
        shows_picture(its.find("#strip img").nth(index))
    expect(its.find("#charts .line")).to_have_count(2)
    expect(its.find("#strip a[aria-current]")).to_contain_text("6")
    its.page.go_back()
    expect(its.find("#view-overview")).to_be_visible()


def test_a_slide_opens_beside_what_it_was_made_of(visit: Open, page: Path) -> None:
    its = visit(page).go("#scene-1")
    its.find("#strip a").nth(1).click()
    expect(its.find("#slide-title")).to_have_text("Slide 2")
    expect(its.find("#beside button")).to_have_count(4)
    for index in range(4):
        shows_picture(its.find("#beside img").nth(index))
    for picture, source in (("#left", "in/000003.png"), ("#right", "out/000002.png")):
        shows_picture(its.find(picture))
        expect(its.find(picture)).to_have_attribute("src", f"../{source}")
    for index, source, name in ((1, "000002-b.png", "Warped"), (2, "000002-m.png", "Mask")):
        its.find("#beside button").nth(index).click()
        expect(its.find("#left")).to_have_attribute("src", source)
        expect(its.find("#left-name")).to_have_text(name)


def test_what_was_not_kept_is_said(visit: Open, asked: Settings) -> None:
    run(replace(asked, save_interp=False))
    its = visit(asked.target.parent / "interp" / "report.html").go("#slide-2")
    expect(its.find("#beside button")).to_have_count(1)
    expect(its.find("#beside")).to_contain_text("--save-interp")
    its.go("#slide-3")
    expect(its.find("#beside")).to_contain_text("A middle is drawn freely")


def test_the_slider_moves_the_border(visit: Open, page: Path) -> None:
    its = visit(page).go("#slide-2")
    expect(its.find("#right")).to_have_css("clip-path", "inset(0px 0px 0px 50%)")
    its.find("#slider").focus()
    its.press("ArrowRight", "ArrowRight", "ArrowRight")
    expect(its.find("#right")).to_have_css("clip-path", "inset(0px 0px 0px 53%)")
    expect(its.find("#slide-title")).to_have_text("Slide 2")  # the arrows were the slider's
    box = its.find("#pictures").bounding_box()
    assert box is not None
    its.page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    expect(its.find("#right")).to_have_css("clip-path", "inset(0px 0px 0px 25%)")


def test_two_slides_flip_in_place(visit: Open, page: Path) -> None:
    its = visit(page).go("#slide-2")
    place = its.find("#right").bounding_box()
    its.press("f")
    expect(its.find("#left-name")).to_have_text("Slide 3")
    expect(its.find("#other")).to_have_attribute("src", "../out/000003.png")
    expect(its.find("#other")).to_have_css("visibility", "visible")
    expect(its.find("#right")).to_have_css("visibility", "hidden")
    assert its.find("#other").bounding_box() == place
    its.press("f")
    expect(its.find("#left-name")).to_have_text("Slide 2")
    expect(its.find("#right")).to_have_css("visibility", "visible")
    expect(its.find("#right")).to_have_css("clip-path", "none")
    its.press("Escape")
    expect(its.find("#slider")).to_be_visible()


def test_a_click_on_a_line_opens_that_pair(visit: Open, page: Path) -> None:
    its = visit(page).go("#scene-1")
    chart = its.find("#charts .e_warp svg")
    box = chart.bounding_box()
    assert box is not None
    its.page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 20)
    expect(its.find("#charts .e_warp")).to_contain_text("slides 3 and 4: ")
    its.page.mouse.click(box["x"] + box["width"] * 0.95, box["y"] + 20)
    expect(its.find("#slide-title")).to_have_text("Slide 3")
    expect(its.find("#flip")).to_have_attribute("aria-pressed", "true")
    expect(its.find("#left-name")).to_have_text("Slide 3")
    its.press("f")
    expect(its.find("#left-name")).to_have_text("Slide 4")
    its.find("#charts .flicker svg").focus()
    its.press("Home", "Enter")
    expect(its.find("#slide-title")).to_have_text("Slide 1")


def test_playing_moves_in_step(visit: Open, page: Path) -> None:
    its = visit(page)
    its.page.clock.install(time=0)
    its.go("#play")
    expect(its.find("#play-slide")).to_have_attribute("data-shown", "0")
    its.page.clock.pause_at(3600)
    its.press(" ")
    expect(its.find("#play-button")).to_have_text("Stop")
    shown: list[tuple[str | None, str | None]] = []

    def is_over() -> bool:
        its.page.clock.run_for(20)
        shown.append((its.shown("frame"), its.shown("slide")))
        return its.find("#play-button").inner_text() == "Play"

    until(is_over)
    assert all(frame == slide for frame, slide in shown)
    assert list(dict.fromkeys(slide for _, slide in shown)) == [*"0123456"]
    expect(its.find("#play-frame-name")).to_have_text("Frame 13")
    expect(its.find("#play-time")).to_have_text("0:00.5 of 0:00.5")


def test_the_player_does_what_keys_are_expected_to_do(visit: Open, page: Path) -> None:
    its = visit(page).go("#play")
    for keys, slide in [
        (["ArrowRight", "ArrowRight"], 3),
        (["ArrowLeft"], 2),
        (["End"], 7),
        (["ArrowRight"], 7),
        (["Home"], 1),
        (["ArrowLeft"], 1),
    ]:
        its.press(*keys)
        expect(its.find("#play-slide-name")).to_have_text(f"Slide {slide}")
        expect(its.find("#play-frame-name")).to_have_text(f"Frame {2 * slide - 1}")
    its.find("#play-place").focus()
    its.press("ArrowRight")
    expect(its.find("#play-slide-name")).to_have_text("Slide 2")
    its.find("#play-open").click()
    expect(its.find("#slide-title")).to_have_text("Slide 2")


def test_marked_slides_give_the_command_that_draws_them_again(
    visit: Open, page: Path, asked: Settings
) -> None:
    its = visit(page).go("#slide-2")
    expect(its.find("#redo")).to_be_hidden()
    its.press("m", "ArrowRight")
    expect(its.find("#slide-title")).to_have_text("Slide 3")
    its.press("m")
    its.go("#play-6")
    expect(its.find("#play-slide-name")).to_have_text("Slide 6")
    its.press("m")
    command = its.find("#redo-command")
    expect(command).to_have_text(re.compile(r" --redo 2-3,6$"))
    its.find("#redo-chain").check()
    expect(command).to_have_text(re.compile(r" --redo 2-3,6 --redo-chain$"))
    words = shlex.split(command.inner_text())
    assert words[:3] == ["video-restyle", str(asked.source), str(asked.target)]
    its.find("#redo-clear").click()
    expect(its.find("#redo")).to_be_hidden()


def test_the_keyboard_alone_is_enough(visit: Open, page: Path) -> None:
    its = visit(page).go()
    its.find("#to-play").focus()
    its.press("Tab")
    expect(its.find("#scenes a").first).to_be_focused()
    its.press("ArrowRight")
    expect(its.find("#scenes a").nth(1)).to_be_focused()
    its.press("Enter")
    expect(its.find("#slide-title")).to_have_text("Slide 6")
    its.press("ArrowLeft")
    expect(its.find("#slide-title")).to_have_text("Slide 5")
    its.press("ArrowLeft")
    expect(its.find("#scene-title")).to_have_text("Scene 1 of 2")
    its.press("p")
    expect(its.find("#view-play")).to_be_visible()


def test_missing_slides_are_told_of_in_words(visit: Open, page: Path, asked: Settings) -> None:
    (asked.target / sequence.name(1)).unlink()
    reporting.write_report(asked, Silent())
    its = visit(page).go()
    expect(its.find("#headline")).to_have_text("6 of 7 slides are drawn")
    expect(its.find("#scenes a").first).to_contain_text("1 missing: It was removed after the run")
    its.go("#slide-2")
    expect(its.find("#slide-facts")).to_contain_text("missing: It was removed")
    expect(its.find("#strip a").nth(1)).to_contain_text("missing")
    expect(its.find("#right-name")).to_have_text("The slide is missing")
    shows_picture(its.find("#left"))
    its.go("#play-2")
    expect(its.find("#play-slide-name")).to_have_text("Slide 2: missing")


def many(tmp_path: Path, lengths: list[int]) -> Path:
    """The page of a film of many slides, without their pictures."""
    interp = tmp_path / "interp"
    target = tmp_path / "out"
    paths = layout.RunPaths(None, tmp_path / "in", interp, target, target, None)
    for folder in (paths.frames, paths.slides, paths.report_folder):
        folder.mkdir(parents=True)
    scenes: list[Scene] = []
    start = 0
    for number, length in enumerate(lengths, 1):
        slides = range(start, start + length)
        middle = start + length // 2
        scenes.append(Scene(number, 2 * start, 2 * slides.stop, slides, middle))
        start += length
    backends = {f"http://gpu{number}:8188": "ComfyUI 0.3" for number in range(50)}
    for slide in (scenes[-1].middle, 60_000):  # those that are opened
        png.write(paths.frames / sequence.name(2 * slide), np.zeros((9, 16, 3), np.uint8))
    journal = Journal(paths.journal_file, RunInfo([], "", False, "24", {}, backends))
    journal.failed(range(start), "a server " + 20 * "said much ")
    JsonLines(paths.journal_file).add(
        *({"drawn": [slide + 1, slide % 50, slide / 10, 4.5]} for slide in range(start))
    )
    subject = report_page.Subject(
        paths,
        *(
            paths.slides,
            paths.frames,
            paths.slides,
            1280,
            720,
            2,
            Fraction(24),
            scenes,
            2 * start,
            {},
            [],
        ),
    )
    its = Thumbnails(paths.report_folder, paths.frames, paths.slides, 2, scenes)
    report_page.write(subject, its, read_journal(paths.journal_file))
    return paths.report_file


@pytest.mark.parametrize("lengths", [[20] * 5000, [1] * 100_000, [100_000]])
def test_a_hundred_thousand_slides_open_at_once(
    visit: Open, tmp_path: Path, lengths: list[int]
) -> None:
    """At once: whatever the number, no more is read and made than what is looked at."""
    path = many(tmp_path, lengths)
    assert path.stat().st_size < PAGE_MOST
    its = visit(path).go()
    expect(its.find("#headline")).to_have_text("0 of 100,000 slides are drawn")
    assert len(its.requests) == 1
    assert its.count("document.querySelectorAll('*').length") < 1000
    its.find("#scenes a").first.focus()
    its.press("End")
    expect(its.find(f"#scenes a[href='#scene-{len(lengths)}']")).to_be_focused()
    its.press("Enter")
    expect(its.find("#slide-title")).to_contain_text("Slide ")
    its.go("#slide-60001")
    expect(its.find("#strip a[aria-current]")).to_contain_text("60001")
    its.go("#play-90001")
    expect(its.find("#play-slide-name")).to_have_text("Slide 90001: missing")
    assert its.count("document.querySelectorAll('*').length") < 1000
    biggest = max((path.parent / "report").glob("*.js"), key=lambda each: each.stat().st_size)
    assert biggest.stat().st_size < 50_000


EVIL = "</script><script>document.title = 'owned'</script><img src=x onerror=alert('owned')>"


def test_what_others_wrote_is_shown_and_never_run(
    visit: Open, make_frames: MakeFrames, tmp_path: Path
) -> None:
    shipped = paths.WORKFLOWS / "claymation.json"
    tree = json.loads(shipped.read_text("utf-8"))
    sampler = next(each for each, node in tree.items() if "Sampler" in node.get("class_type", ""))
    tree[sampler]["_meta"] = {"title": f"{EVIL}\u2028"}
    name = "evil.json" if sys.platform == "win32" else "<script>document.title='owned'<.json"
    (tmp_path / name).write_text(json.dumps(tree), "utf-8")
    make_frames(4)
    odd = tmp_path / ("out" if sys.platform == "win32" else "<img src=x onerror=document.title=1>")
    with ComfyServer() as server:
        server.runs.append(Run(error={"exception_message": EVIL, "node_id": sampler}))
        asked = Settings(
            *(tmp_path / "in", odd),
            model=str(tmp_path / name),
            backends=(server.url,),
        )
        with pytest.raises(RestyleError, match="owned"):
            run(asked)
    path = tmp_path / "interp" / "report.html"
    assert "owned'</script>" not in path.read_text("utf-8")
    its = visit(path).go()
    expect(its.find("#title")).to_have_text(odd.name)
    expect(its.find("#runs")).to_contain_text("document.title = 'owned'")
    expect(its.find("#settings")).to_contain_text(name)
    its.go("#slide-1")
    expect(its.find("#slide-facts")).to_contain_text("document.title = 'owned'")
    assert "owned" not in its.page.title()
    assert its.count("document.querySelectorAll('script').length") <= 3


def test_nothing_but_files_may_be_loaded_or_run(browser: Browser, page: Path) -> None:
    """Were anything slipped into the page, its policy would stop it."""
    its = browser.new_page()
    its.goto(page.as_uri())
    stopped = its.evaluate(
        """async () => {
            const stopped = [];
            addEventListener("securitypolicyviolation", (event) =>
                stopped.push(event.effectiveDirective));
            const image = new Image();
            image.src = "http://127.0.0.1:9/x.png";
            const script = document.createElement("script");
            script.textContent = "document.title = 'owned'";
            document.body.append(script, document.createElement("iframe"));
            document.body.insertAdjacentHTML("beforeend", "<img src=x onerror=alert(1)>");
            await fetch("http://127.0.0.1:9/").catch(() => {});
            await new Promise((resolve) => setTimeout(resolve, 200));
            return stopped;
        }"""
    )
    its.close()
    assert {"img-src", "script-src-elem", "script-src-attr", "connect-src"} <= set(stopped)


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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_is_readable_in_dark_and_light_and_in_a_narrow_window(
    visit: Open, page: Path, scheme: str, width: int
) -> None:
    """Contrast as WCAG 2.2 asks for (AA); nothing is wider than the window."""
    its = visit(page, viewport={"width": width, "height": 700}, color_scheme=scheme)
    for place in ("#overview", "#slide-2", "#play"):
        its.go(place)
        expect(its.find("main section:visible")).to_have_count(1)
        if place != "#overview":
            its.press("m")
            expect(its.find("#redo")).to_be_visible()
        assert its.page.evaluate(CONTRAST) == []
        assert its.count("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.126, "0.13 s"),
        (9.999, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min 0 s"),
        (119.4, "1 min 59 s"),
        (119.7, "2 min 0 s"),
        (3570, "59 min 30 s"),
        (3599.7, "1 h 0 min"),
        (7170, "2 h 0 min"),
    ],
)
def test_a_time_is_rounded_as_a_whole(visit: Open, page: Path, seconds: float, said: str) -> None:
    assert visit(page).go().page.evaluate(f"duration({seconds})") == said
