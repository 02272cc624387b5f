"""What a report page keeps and renews: marks that survive, and a page that follows a run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
from playwright.sync_api import expect
from support.runs import Silent, interp, run
from support.visits import Open

from stable_restyle.core.settings import Settings
from stable_restyle.media import png, sequence
from stable_restyle.run import reporting
from stable_restyle.workdir.journal import Journal, JsonLines, RunInfo
from stable_restyle.workdir.lock import hold


def test_marked_slides_give_the_command_that_draws_them_again(
    visit: Open, page: Path, drawn: Settings
) -> None:
    its = visit(page).go("#slide-2")
    expect(its.find("#redo")).to_be_hidden()
    its.press("m", "ArrowRight")
    expect(its.find("#slide-title")).to_have_text("Slide 3")
    its.press("m")
    its.go("#play-6")
    expect(its.find("#play-slide-name")).to_have_text("Slide 6")
    its.find("#play-mark").click()
    expect(its.find("#play-mark")).to_have_attribute("aria-pressed", "true")
    command = its.find("#redo-command")
    expect(command).to_have_text(re.compile(r" --redo 2-3,6$"))
    its.find("#redo-chain").check()
    expect(command).to_have_text(re.compile(r" --redo 2-3,6 --redo-chain$"))
    words = shlex.split(command.inner_text())
    assert words[:3] == ["video-restyle", str(drawn.source), str(drawn.target)]
    its.page.reload()
    expect(command).to_have_text(re.compile(r" --redo 2-3,6$"))
    its.go("#slide-2")
    expect(its.find("#mark")).to_have_attribute("aria-pressed", "true")
    expect(its.find("#strip .marked")).to_have_count(2)
    its.find("#redo-clear").click()
    expect(its.find("#redo")).to_be_hidden()
    its.page.reload()
    expect(its.find("#slide-title")).to_have_text("Slide 2")
    expect(its.find("#redo")).to_be_hidden()


def test_marks_go_once_their_slides_have_been_drawn_again(visit: Open, asked: Settings) -> None:
    its = visit(interp(asked) / "report.html").go("#slide-4")
    its.press("m", "ArrowRight")
    expect(its.find("#slide-title")).to_have_text("Slide 5")
    its.press("m")
    expect(its.find("#redo-command")).to_have_text(re.compile(r" --redo 4-5$"))
    its.press("ArrowLeft")
    again = asked.target / sequence.name(3)
    png.write(again, np.ascontiguousarray(png.read(again)[:, ::-1]))
    reporting.write_report(asked, Silent())
    its.page.evaluate("dispatchEvent(new Event('focus'))")
    expect(its.find("#redo-command")).to_have_text(re.compile(r" --redo 5$"))
    expect(its.find("#strip .marked")).to_have_count(0)
    url = f"../out/000004.png?{again.stat().st_mtime_ns // 1_000_000}"
    expect(its.find("#right-name")).to_have_attribute("href", url)


def test_a_page_follows_a_run_and_stays_where_it_is(visit: Open, asked: Settings) -> None:
    """`--report` during a run shows what there is; the page shows what comes."""
    late = asked.target / sequence.name(5)
    picture = png.read(late)
    late.unlink()
    path = interp(asked) / "journal.jsonl"
    with hold(interp(asked)):
        notes = Journal(path, RunInfo(["again"], "/there", False, "24", {}, {"a": ""}))
        reporting.write_report(asked, Silent())
        its = visit(interp(asked) / "report.html", viewport={"width": 1000, "height": 500})
        its.page.clock.install()
        its.go()
        expect(its.find("#live")).to_have_text("Drawing: 6 of 7")
        expect(its.find("#unfinished")).to_contain_text("this page follows it")
        expect(its.find("#states .waiting")).to_have_text("1 not drawn yet")
        its.go("#slide-6")
        expect(its.find("#right-name")).to_have_text("Slide 6: not drawn yet")
        expect(its.find("#strip a[aria-current]")).to_contain_text("not drawn yet")
        its.page.evaluate("scrollTo(0, 120)")
        its.press("m")
        its.find("#strip a[href='#slide-5']").evaluate(
            "(each) => each.focus({preventScroll: true})"
        )
        png.write(late, np.ascontiguousarray(picture[:, ::-1]))
        JsonLines(path).add({"drawn": [6, 0, 0, 1]})
        notes.end("")
        reporting.write_report(asked, Silent())
        asked_for = len(its.requests)
        its.page.clock.run_for(3000)
    expect(its.find("#right-name")).to_have_text("Slide 6 (PNG)")
    expect(its.find("#strip a[aria-current] img")).to_have_count(1)
    expect(its.find("#live")).to_be_hidden()
    expect(its.find("#slide-facts")).to_contain_text("a")
    assert its.count("Math.round(scrollY)") == 120
    assert [Path(url.partition("?")[0]).name for url in its.requests[asked_for:]][:2] == [
        "now.js",
        "film.js",
    ]
    expect(its.find("#strip a[href='#slide-5']")).to_be_focused()
    its.page.clock.run_for(10_000)  # the run has ended: nothing is asked any more
    assert sum("now.js" in url for url in its.requests) == 1
    its.find("#to-overview").click()
    expect(its.find("#headline")).to_have_text("All 7 slides are drawn")


def test_an_unfinished_run_shows_how_to_go_on(visit: Open, asked: Settings) -> None:
    (asked.target / sequence.name(1)).unlink()
    path = interp(asked) / "journal.jsonl"
    Journal(path, RunInfo(["video-restyle", "a b"], "/there", True, "24", {}, {})).end("it is full")
    reporting.write_report(asked, Silent())
    its = visit(interp(asked) / "report.html").go()
    expect(its.find("#headline")).to_have_text("6 of 7 slides are drawn")
    expect(its.find("#reasons")).to_have_text("1 slide: The run ended early: it is full")
    expect(its.find("#go-on")).to_have_text(re.compile(r"^video-restyle .* --backend preview:clay"))
    its.find("#go-on-copy").click()
    expect(its.find("#go-on-copy")).to_have_text(re.compile("Copied|Selected"))
    expect(its.find("#scenes a").first).to_contain_text("1 missing")
    its.go("#slide-2")
    expect(its.find("#slide-facts")).to_contain_text("it is full")
    expect(its.find("#strip a").nth(1)).to_contain_text("missing")
    expect(its.find("#right-name")).to_have_text("Slide 2: missing")
    its.go("#play-2")
    expect(its.find("#play-slide-name")).to_have_text("Slide 2: missing")


def test_a_page_without_its_folder_still_opens(visit: Open, asked: Settings) -> None:
    """The folder may be removed to save space; only the file that was asked for is missed."""
    run(asked)
    report = interp(asked) / "report"
    for each in sorted(report.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() else each.unlink()
    its = visit(interp(asked) / "report.html").go()
    expect(its.find("#headline")).to_have_text("All 7 slides are drawn")
    its.go("#slide-2")
    expect(its.find("#slide-facts")).to_contain_text("cannot be read")
    assert all("ERR_FILE_NOT_FOUND" in each or "/report/" in each for each in its.complaints)
    its.complaints.clear()
