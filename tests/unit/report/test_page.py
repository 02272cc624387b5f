"""The report page in a real browser, opened from disk as a user opens it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect
from support import paths
from support.comfy_server import ComfyServer, Run
from support.programs import until
from support.runs import Silent, interp, run
from support.visits import CONTRAST, Open, shows_picture

from stable_restyle.core.errors import RestyleError
from stable_restyle.core.records import Scene
from stable_restyle.core.settings import Settings
from stable_restyle.media import png, sequence
from stable_restyle.media.sequence import FrameFolder
from stable_restyle.report import page as report_page
from stable_restyle.report.summary import Subject
from stable_restyle.report.thumbnails import Thumbnails
from stable_restyle.run import reporting
from stable_restyle.workdir import layout
from stable_restyle.workdir.journal import Journal, JsonLines, RunInfo
from stable_restyle.workdir.journal import read as read_journal

MakeFrames = Callable[..., Path]
PAGE_MOST = 2_200_000  # bytes


def at(path: str) -> re.Pattern[str]:
    """The URL of a file, whenever it was written."""
    return re.compile(rf"^{re.escape(path)}(\?\d+)?$")


def test_scenes_are_listed(visit: Open, page: Path) -> None:
    its = visit(page).go()
    expect(its.find("#headline")).to_have_text("All 7 slides are drawn")
    expect(its.find("#unfinished")).to_be_hidden()
    expect(its.find("#scenes a")).to_have_count(2)
    first = its.find("#scenes a").first
    for words in ("Scene 1", "4 slides", "done"):
        expect(first).to_contain_text(words)
    shows_picture(first.locator("img"))
    assert its.page.title() == "out"
    its.find("#to-run").click()
    expect(its.find("#backends")).to_contain_text("preview:clay")
    expect(its.find("#backends svg path")).to_have_attribute("d", re.compile("^M"))
    expect(its.find("#settings")).to_contain_text("4 pixels")


def test_the_worst_jumps_come_first(visit: Open, asked: Settings) -> None:
    """Slide 6 is made dark: it jumps from 5, and so does 7; of a bad stretch one place is shown."""
    path = asked.target / sequence.name(5)
    png.write(path, png.read(path) // 2)
    reporting.write_report(asked, Silent())
    its = visit(interp(asked) / "report.html").go()
    expect(its.find("#worst-title")).to_have_text("2 jumps found")
    expect(its.find("#worst a.jump")).to_have_count(1)
    for index in range(2):
        shows_picture(its.find("#worst img").nth(index))
    expect(its.find("#worst a").first).to_contain_text(re.compile(r": [1-9][0-9]*\.[0-9].$"))
    expect(its.find("#scenes a").first).to_contain_text("Scene 1")
    expect(its.find("#scenes a").nth(1).locator("em")).to_have_text("2 jumps")
    its.find("#order").select_option("worst")
    expect(its.find("#scenes a").first).to_contain_text("Scene 2")
    its.find("#worst a").first.click()
    expect(its.find("#slide-title")).to_have_text(re.compile("Slide [56]"))
    expect(its.find("#flip")).to_have_attribute("aria-pressed", "true")
    expect(its.find("#charts .flicker .peaks a").first).to_have_text(re.compile("5.6|6.7"))
    heights = {}
    for scene in (1, 2):  # one scale for both
        its.go(f"#scene-{scene}")
        expect(its.find("#scene-facts")).to_contain_text(f"Scene {scene}:")
        expect(its.find("#charts .noticeable")).to_have_count(2)
        heights[scene] = its.find("#charts .flicker .noticeable").get_attribute("y1")
    assert heights[1] == heights[2]


def test_joins_of_windows_are_places_to_look_at(visit: Open, asked: Settings) -> None:
    windows = asked.target.parent / "interp" / "windows" / "000001-000004"
    windows.mkdir(parents=True)
    joins = {"000001.png": [3.0, 0.5], "000004.png": [20.0, 12.25]}
    (windows / "window.json").write_text(json.dumps({"joins": joins}), "utf-8")
    reporting.write_report(asked, Silent())
    its = visit(interp(asked) / "report.html").go()
    expect(its.find("#joins-title")).to_have_text("2 joins of windows and keys")
    worst = its.find("#joins a").first
    for words in ("Slides 3 and 4", "12.3 levels, 20.0 before"):
        expect(worst).to_contain_text(words)
    worst.click()
    expect(its.find("#slide-title")).to_have_text("Slide 3")
    expect(its.find("#slide-facts")).to_contain_text("window of slides 1 to 4")
    assert not its.violations()


def test_a_film_without_jumps_shows_what_comes_nearest(visit: Open, page: Path) -> None:
    its = visit(page).go()
    expect(its.find("#worst-title")).to_have_text("No jump found")
    assert 1 <= its.find("#worst a").count() <= 4
    expect(its.find("#worst .jump")).to_have_count(0)
    expect(its.find("#scenes em")).to_have_count(0)


def test_a_scene_opens_with_its_slides_and_curves(visit: Open, page: Path) -> None:
    its = visit(page, viewport={"width": 1440, "height": 900}).go()
    its.find("#scenes a").nth(1).click()
    expect(its.find("#slide-place")).to_contain_text("Scene 2 of 2")
    expect(its.find("#strip a")).to_have_count(3)
    for index in range(3):
        shows_picture(its.find("#strip img").nth(index))
    expect(its.find("#charts .line")).to_have_count(2)
    expect(its.find("#charts .numbers span")).to_have_text(["5", "6", "7"])
    expect(its.find("#strip a[aria-current]")).to_contain_text("6")
    numbers = its.find("#charts .numbers span").nth(1).bounding_box()
    cell = its.find("#strip a").nth(1).bounding_box()
    assert numbers and cell
    middles = numbers["x"] + numbers["width"] / 2, cell["x"] + cell["width"] / 2
    assert middles[0] == pytest.approx(middles[1], abs=2)  # curves lie below their slides
    for upper, lower in (("#pictures", "#strip"), ("#strip", "#charts")):
        assert its.box(upper)["y"] + its.box(upper)["height"] <= its.box(lower)["y"]
    assert its.box("#pictures")["y"] < 120  # the picture comes first
    its.page.go_back()
    expect(its.find("#view-overview")).to_be_visible()


def test_a_slide_opens_beside_what_it_was_made_of(visit: Open, page: Path) -> None:
    its = visit(page).go("#scene-1")
    its.find("#strip a").nth(1).click()
    expect(its.find("#slide-title")).to_have_text("Slide 2")
    expect(its.find("#sources button")).to_have_count(4)
    for index in range(4):
        shows_picture(its.find("#sources img").nth(index))
    for picture, name, source in (
        ("#left", "#left-name", "in/000003.png"),
        ("#odd", "#right-name", "out/000002.png"),
    ):
        shows_picture(its.find(picture))
        expect(its.find(picture)).to_have_attribute("src", at(f"../{source}"))
        expect(its.find(name)).to_have_attribute("href", at(f"../{source}"))
    for index, source, name in (
        (1, "000002-b.png", "Warped"),
        (2, "000002-m.png", "Mask"),
        (3, "answers/000002.png", "Answer"),
    ):
        its.find("#sources button").nth(index).click()
        expect(its.find("#left")).to_have_attribute("src", at(source))
        expect(its.find("#left-name")).to_have_text(f"{name} (PNG)")
        expect(its.find("#sources-note")).to_contain_text(f"{name}: ")


def test_what_was_not_kept_is_said(visit: Open, asked: Settings) -> None:
    for path in interp(asked).glob("0*.png"):
        path.unlink()
    reporting.write_report(asked, Silent())
    its = visit(interp(asked) / "report.html").go("#slide-2")
    expect(its.find("#sources button")).to_have_count(2)  # the frame and the answer
    expect(its.find("#sources-note")).to_contain_text("--save-interp")
    its.go("#slide-3")
    expect(its.find("#sources-note")).to_contain_text("A middle is drawn freely")


def test_the_slider_moves_the_border(visit: Open, page: Path) -> None:
    its = visit(page).go("#slide-2")
    expect(its.find("#odd")).to_have_css("clip-path", "inset(0px 0px 0px 50%)")
    its.find("#slider").focus()
    its.press("ArrowRight", "ArrowRight", "ArrowRight")
    expect(its.find("#odd")).to_have_css("clip-path", "inset(0px 0px 0px 53%)")
    expect(its.find("#slide-title")).to_have_text("Slide 2")  # the arrows were the slider's
    box = its.box("#pictures")
    its.page.mouse.click(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    expect(its.find("#odd")).to_have_css("clip-path", "inset(0px 0px 0px 25%)")


def test_everything_follows_a_flip_and_nothing_moves(visit: Open, page: Path) -> None:
    its = visit(page, viewport={"width": 1280, "height": 600}).go("#slide-2")
    expect(its.find("#odd")).to_have_attribute("src", at("../out/000002.png"))
    its.page.evaluate("scrollTo(0, 90)")
    parts = ("#odd", "#flip", "#mark", "#slide-after", "#strip", "#charts")
    places = [its.box(part) for part in parts]
    for key, slide in (("f", 3), ("f", 2), ("f", 3), ("m", 3)):
        its.press(key)
        shown, hidden = ("#even", "#odd") if slide == 3 else ("#odd", "#even")
        expect(its.find("#slide-title")).to_have_text(f"Slide {slide}")
        expect(its.find("#strip a[aria-current]")).to_contain_text(f"{slide}")
        expect(its.find("#right-name")).to_have_attribute("href", at(f"../out/00000{slide}.png"))
        expect(its.find("#slide-facts")).to_contain_text(f"Frame{2 * slide - 1}")
        expect(its.find(shown)).to_have_css("visibility", "visible")
        expect(its.find(shown)).to_have_css("clip-path", "none")
        expect(its.find(hidden)).to_have_css("visibility", "hidden")
        assert its.box("#even") == places[0]
        assert [its.box(part) for part in parts] == places
    expect(its.find("#strip .marked")).to_contain_text("3")
    expect(its.find("#redo-command")).to_have_text(re.compile(" --redo 3$"))
    its.press("Escape")
    expect(its.find("#slide-title")).to_have_text("Slide 3")
    expect(its.find("#slider")).to_be_visible()
    assert its.count("Math.round(scrollY)") == 90


def test_arrows_step_and_never_scroll(visit: Open, page: Path) -> None:
    its = visit(page, viewport={"width": 1000, "height": 400}).go("#slide-2")
    expect(its.find("#slide-title")).to_have_text("Slide 2")
    its.page.evaluate("scrollTo(0, 130)")
    place, tools = its.box("#pictures"), its.box("#mark")
    for key, slide in [
        ("ArrowRight", 3),
        ("ArrowLeft", 2),
        ("ArrowDown", 6),
        ("ArrowRight", 7),
        ("ArrowRight", 7),
        ("ArrowDown", 7),
        ("ArrowUp", 3),
    ]:
        its.press(key)
        expect(its.find("#slide-title")).to_have_text(f"Slide {slide}")
        assert its.count("Math.round(scrollY)") == 130
        assert (its.box("#pictures"), its.box("#mark")) == (place, tools)
    its.page.go_back()
    expect(its.find("#slide-title")).to_have_text("Slide 7")
    its.press("ArrowLeft", "ArrowRight", "ArrowLeft")  # as fast as the keyboard
    expect(its.find("#slide-title")).to_have_text("Slide 6")


def test_pictures_are_shown_pixel_by_pixel_and_full_screen(visit: Open, page: Path) -> None:
    """They have 64 x 48 pixels."""
    its = visit(page, viewport={"width": 360, "height": 600}).go("#slide-2")
    shows_picture(its.find("#odd"))
    fit, box = its.box("#odd"), its.box("#pictures")
    its.press("z")
    assert (its.box("#odd")["width"], its.box("#odd")["height"]) == (64, 48)
    assert its.box("#pictures") == box
    its.page.evaluate("setZoom(8)")
    expect(its.find("#layers")).to_have_css("image-rendering", "pixelated")
    assert its.box("#odd")["width"] == 512
    before = its.count("Math.round(byId('pictures').scrollLeft)")
    its.page.mouse.move(box["x"] + 100, box["y"] + 100)
    its.page.mouse.down()
    its.page.mouse.move(box["x"] + 60, box["y"] + 100)
    its.page.mouse.up()
    assert its.count("Math.round(byId('pictures').scrollLeft)") == before + 40
    its.press("ArrowRight", "ArrowLeft")  # the place stays, so that slides can be compared
    assert its.count("Math.round(byId('pictures').scrollLeft)") == before + 40
    its.press("Shift+ArrowLeft")
    assert its.count("Math.round(byId('pictures').scrollLeft)") < before
    expect(its.find("#slide-title")).to_have_text("Slide 2")
    its.find("#zoom").select_option("0")
    assert its.box("#odd") == fit
    its.press("Shift+F")
    until(lambda: its.page.evaluate("document.fullscreenElement?.id === 'stage'"))
    for part in ("#pictures", "#slider", "#mark"):
        expect(its.find(part)).to_be_in_viewport(ratio=0.99)
    its.find("#slide-full").click()
    until(lambda: its.page.evaluate("!document.fullscreenElement"))


def test_a_click_on_a_curve_opens_that_pair(visit: Open, page: Path) -> None:
    its = visit(page).go("#scene-1")
    expect(its.find("#charts .line")).to_have_count(2)
    its.find("#charts .unexplained svg").scroll_into_view_if_needed()
    box = its.box("#charts .unexplained svg")
    its.page.mouse.move(box["x"] + box["width"] * 0.74, box["y"] + 20)
    expect(its.find("#charts .unexplained")).to_contain_text("slides 3 and 4: ")
    its.page.mouse.click(box["x"] + box["width"] * 0.74, box["y"] + 20)
    expect(its.find("#slide-title")).to_have_text("Slide 3")
    expect(its.find("#flip")).to_have_attribute("aria-pressed", "true")
    its.press("f")
    expect(its.find("#slide-title")).to_have_text("Slide 4")
    its.find("#charts .flicker svg").focus()
    its.press("Home", "Enter")
    expect(its.find("#slide-title")).to_have_text("Slide 1")


def test_the_keyboard_alone_is_enough(visit: Open, page: Path) -> None:
    its = visit(page).go()
    its.find("#order").focus()
    its.press("Tab")
    expect(its.find("#scenes a").first).to_be_focused()
    its.press("ArrowRight")
    expect(its.find("#scenes a").nth(1)).to_be_focused()
    its.press("Enter")
    expect(its.find("#slide-title")).to_have_text("Slide 6")
    its.press("ArrowLeft")
    expect(its.find("#slide-title")).to_have_text("Slide 5")
    its.press("ArrowLeft")
    expect(its.find("#slide-place")).to_contain_text("Scene 1 of 2")
    its.press("p")
    expect(its.find("#play-slide-name")).to_have_text("Slide 4")
    its.press("Enter")
    expect(its.find("#slide-title")).to_have_text("Slide 4")


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
    folders = paths.slides, paths.frames, paths.slides
    size = 1280, 720
    subject = Subject(
        paths, *folders, *size, 2, Fraction(24), scenes, 2 * start, {}, [], running=False
    )
    its = Thumbnails(
        paths.report_folder, FrameFolder(paths.frames, 0, 8, 8, ()), paths.slides, 2, scenes
    )
    report_page.write(subject, its, read_journal(paths.journal_file))
    return paths.report_file


@pytest.mark.parametrize(
    "lengths",
    [[20] * 5000, pytest.param([1] * 100_000, marks=pytest.mark.long), [100_000]],
)
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
    expect(its.find(f"#scenes a[href='#scene-{len(lengths)}']")).to_be_in_viewport()
    its.press("Enter")
    expect(its.find("#slide-title")).to_contain_text("Slide ")
    its.go("#slide-60001")
    expect(its.find("#strip a[aria-current]")).to_contain_text("60001")
    its.go("#play-90001")
    expect(its.find("#play-slide-name")).to_have_text("Slide 90001: missing")
    assert its.count("document.querySelectorAll('*').length") < 1000
    biggest = max((path.parent / "report").glob("slides*"), key=lambda each: each.stat().st_size)
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
    expect(its.find("#reasons")).to_contain_text("document.title = 'owned'")
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1440])
def test_it_is_readable_and_accessible_in_all_views(
    visit: Open, asked: Settings, scheme: str, width: int
) -> None:
    """Contrast as WCAG 2.2 asks for (AA); axe-core finds nothing; nothing is cut off."""
    (asked.target / sequence.name(6)).unlink()
    reporting.write_report(asked, Silent())
    its = visit(
        interp(asked) / "report.html",
        viewport={"width": width, "height": 700},
        color_scheme=scheme,
    )
    for place in ("#overview", "#slide-2", "#slide-7", "#play", "#run"):
        its.go(place)
        expect(its.find("main section:visible")).to_have_count(1)
        if place == "#slide-2":
            expect(its.find("#charts svg")).to_have_count(2)
            its.press("z", "m")
            expect(its.find("#redo")).to_be_visible()
        if place == "#play":
            its.press("w")
        assert its.page.evaluate(CONTRAST) == []
        assert its.violations() == ""
        assert its.count("document.documentElement.scrollWidth") <= width
    if width == 360:
        assert its.box("#redo")["height"] < 700 / 5


def test_print_cuts_nothing_off(visit: Open, page: Path) -> None:
    its = visit(page, viewport={"width": 1440, "height": 300})
    beyond = """(width) => [...document.querySelectorAll("main *, #redo *")].filter((each) =>
        each.checkVisibility() && !each.closest("svg") && each.scrollWidth
        && each.getBoundingClientRect().right > width + 1).map((each) => each.outerHTML)"""
    for place, cells in (("#overview", 2), ("#slide-2", 4), ("#run", 0)):
        its.go(place)
        expect(its.find("main section:visible")).to_have_count(1)
        if place == "#slide-2":
            its.press("m")
            expect(its.find("#strip a img")).to_have_count(4)
        its.page.set_viewport_size({"width": 718, "height": 300})  # of A4 paper
        its.page.emulate_media(media="print")
        its.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert its.page.evaluate(beyond, 718) == []
        visible = its.find("main .cell:visible")
        expect(visible).to_have_count(cells)
        for name in ("#scenes", "#strip"):
            assert (
                its.count(f"byId('{name[1:]}').scrollHeight - byId('{name[1:]}').clientHeight") <= 1
            )
        its.page.emulate_media(media="screen")
        its.page.set_viewport_size({"width": 1440, "height": 300})
        its.page.evaluate("dispatchEvent(new Event('afterprint'))")
    its.go("#slide-2")
    its.page.emulate_media(media="print")
    expect(its.find("#redo-command")).to_be_visible()


def test_a_time_is_rounded_as_a_whole(visit: Open, page: Path) -> None:
    its = visit(page).go()
    for seconds, said in [
        (0.126, "0.13 s"),
        (9.999, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min 0 s"),
        (119.4, "1 min 59 s"),
        (119.7, "2 min 0 s"),
        (3570, "59 min 30 s"),
        (3599.7, "1 h 0 min"),
        (7170, "2 h 0 min"),
    ]:
        assert its.page.evaluate(f"duration({seconds})") == said
