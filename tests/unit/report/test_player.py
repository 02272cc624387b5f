"""The player of the report page: films, or thumbnails in their place."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import expect
from support import clips
from support.programs import until
from support.visits import Open, Visit


def play_thumbnails(visit: Open, page: Path) -> Visit:
    """Open the player with a clock that stands still."""
    its = visit(page)
    its.page.clock.install(time=0)
    its.go("#play")
    expect(its.find("#play-slide")).to_have_attribute("data-shown", "0")
    its.page.clock.pause_at(3600)
    return its


def test_playing_moves_in_step(visit: Open, page: Path) -> None:
    its = play_thumbnails(visit, page)
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
    expect(its.find("#play-note")).to_have_text("Thumbnails, without sound: SOURCE is a folder.")


def test_a_scene_is_looped(visit: Open, page: Path) -> None:
    its = play_thumbnails(visit, page)
    its.press("ArrowDown")
    expect(its.find("#play-slide-name")).to_have_text("Slide 5")
    its.press("l", " ")
    expect(its.find("#loop")).to_have_value("scene")
    shown: list[str | None] = []

    def was_twice_at_the_end() -> bool:
        its.page.clock.run_for(20)
        if shown[-1:] != [its.shown("slide")]:
            shown.append(its.shown("slide"))
        return shown.count("6") == 2

    until(was_twice_at_the_end)
    assert shown == ["4", "5", "6", "4", "5", "6"]


def test_the_player_does_what_keys_are_expected_to_do(visit: Open, page: Path) -> None:
    its = visit(page).go("#play")
    for keys, slide in [
        (["ArrowRight", "ArrowRight"], 3),
        (["ArrowLeft"], 2),
        (["ArrowDown"], 5),
        (["ArrowUp"], 1),
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


def shows_films(visit: Open, film_page: Path, place: str) -> Visit:
    its = visit(film_page, viewport={"width": 1280, "height": 800}).go(place)
    expect(its.find("#play-note")).to_have_text("SOURCE and TARGET")
    expect(its.find("#film-frame")).to_be_visible()
    return its


def frame_of(its: Visit) -> int:
    """Return the frame that SOURCE shows, as its pixels tell."""
    screen = its.find("#film-frame").screenshot()
    return clips.number(np.asarray(Image.open(io.BytesIO(screen)).convert("RGB")))


def test_films_are_stepped_through_one_slide_at_a_time(visit: Open, film_page: Path) -> None:
    its = shows_films(visit, film_page, "#play-4")
    for key, slide in [
        ("", 4),
        ("ArrowRight", 5),
        ("ArrowRight", 6),
        ("ArrowLeft", 5),
        ("End", 12),
    ]:
        its.press(*filter(None, [key]))
        expect(its.find("#play-slide-name")).to_have_text(f"Slide {slide}")
        for film in ("#film-frame", "#film-slide"):
            expect(its.find(film)).to_have_attribute("data-shown", str(slide - 1))
            expect(its.find(film)).to_have_js_property("seeking", False)
        until(lambda frame=2 * (slide - 1): frame_of(its) == frame)  # type: ignore[misc]


def test_films_play_in_step_with_sound_and_loop(visit: Open, film_page: Path) -> None:
    its = shows_films(visit, film_page, "#play-7")
    its.find("#loop").select_option("scene")
    assert its.page.evaluate("[filmOf.slide.muted, filmOf.frame.muted]") == [False, True]
    its.page.evaluate(
        """() => {
            window.places = [];
            setInterval(() => places.push(
                [filmOf.slide.currentTime, filmOf.frame.currentTime, filmOf.slide.paused]), 10);
        }"""
    )
    its.find("#play-button").click()
    began_again = "places.some(([time], index) => index && time < places[index - 1][0] - 0.2)"
    until(lambda: its.page.evaluate(f"places.length > 20 && {began_again}"))
    its.find("#play-button").click()
    expect(its.find("#film-slide")).to_have_js_property("paused", True)
    expect(its.find("#film-frame")).to_have_js_property("paused", True)
    places = its.page.evaluate("places.filter(([, , paused]) => !paused)")
    assert min(time for time, _, _ in places) >= 0.49  # the scene is the film's second half
    apart = sorted(abs(slide - frame) for slide, frame, _ in places)
    assert apart[len(apart) // 2] < 0.25
    its.press("s")
    expect(its.find("#film-slide")).to_have_js_property("muted", True)
    expect(its.find("#sound")).to_have_attribute("aria-pressed", "false")


def test_films_are_wiped_and_fill_the_screen(visit: Open, film_page: Path) -> None:
    its = shows_films(visit, film_page, "#play-3")
    apart = its.box("#film-frame"), its.box("#film-slide")
    assert apart[0]["x"] != apart[1]["x"]
    its.press("w")
    place = its.box("#film-frame")
    assert its.box("#film-slide") == place
    expect(its.find("#film-slide")).to_have_css("clip-path", "inset(0px 0px 0px 50%)")
    its.page.mouse.click(place["x"] + place["width"] / 4, place["y"] + 20)
    expect(its.find("#film-slide")).to_have_css("clip-path", "inset(0px 0px 0px 25%)")
    its.find("#play-full").click()
    until(lambda: its.page.evaluate("document.fullscreenElement?.id === 'theatre'"))
    for part in ("#film-frame", "#play-border", "#play-place", "#play-button"):
        expect(its.find(part)).to_be_in_viewport(ratio=0.99)
    its.press("Shift+F")
    until(lambda: its.page.evaluate("!document.fullscreenElement"))
    its.press("w")
    assert (its.box("#film-frame"), its.box("#film-slide")) == apart
    expect(its.find("#film-slide")).to_have_css("clip-path", "none")


def test_thumbnails_are_shown_where_a_film_cannot_be_played(
    visit: Open, film_page: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "film"
    shutil.copytree(film_page.parent.parent.parent, folder)
    (folder / "clay.webm").write_bytes(b"not a film that a browser can play")
    its = visit(folder / "clay.restyle" / "interp" / "report.html").go("#play-3")
    expect(its.find("#play-note")).to_have_text(
        "Thumbnails, without sound: this browser cannot play TARGET."
    )
    expect(its.find("#play-slide")).to_be_visible()
    expect(its.find("#play-slide")).to_have_attribute("data-shown", "2")
    expect(its.find("#sound")).to_be_hidden()
    its.press("w", "ArrowRight")
    expect(its.find("#play-slide")).to_have_css("clip-path", "inset(0px 0px 0px 50%)")
    expect(its.find("#play-slide")).to_have_attribute("data-shown", "3")
