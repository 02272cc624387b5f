"""Settings in a file: restyle.toml, or that of --config."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from stable_restyle.cli import config, main
from stable_restyle.cli.options import HEADERS_VARIABLE
from stable_restyle.core.settings import API_KEY_VARIABLE, BACKENDS_VARIABLE, Settings
from stable_restyle.run import dry_run, status

PREVIEW = ("--backend", "preview")
EVERY = """
source = "film.mp4"
target = "clay.mp4"
model = "anime.json"
prompt = "night"
set = ["4.text=a", "2:4.text=b"]
backend = "preview:anime"
header = ["A: b"]
seed = 7
anchor = 1
timeout = 5
rate = 23.976
fps = 4
fill-only = true
keys = 6
given = "keys"
verbose = false
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Return the settings of a command, which plans nothing."""
    found: list[Settings] = []

    def plan(settings: Settings, *_: object) -> None:
        found.append(settings)
        raise click.Abort

    monkeypatch.setattr(dry_run, "plan", plan)
    monkeypatch.setattr(status, "is_finished", plan)

    def settle(*words: str) -> Settings:
        CliRunner().invoke(main.command, words, catch_exceptions=True)
        return found.pop()

    return settle


def invoke(*words: str) -> Result:
    return CliRunner().invoke(main.command, words)


def write(text: str, name: str = config.FILE) -> None:
    Path(name).write_text(text, "utf-8")


def test_every_kind_of_setting_can_stand_in_the_file(settled: Callable[..., Settings]) -> None:
    write(EVERY)
    found = settled("--dry-run")
    assert replace(found, command=()) == Settings(
        source=Path("film.mp4"),
        target=Path("clay.mp4"),
        model="anime.json",
        prompt="night",
        changes=("4.text=a", "2:4.text=b"),
        backends=("preview:anime",),
        headers=("A: b",),
        seed=7,
        anchor=1.0,
        timeout_s=5.0,
        rate=found.rate,
        frames_per_slide=4,
        fill_only=True,
        keys=6,
        given=Path("keys"),
    )
    assert str(found.rate) == "24000/1001"


def test_what_is_typed_wins(settled: Callable[..., Settings]) -> None:
    write(EVERY)
    typed = ("--fps", "2", "--no-fill-only", "--set", "4.text=c", "--backend", "preview", "in")
    found = settled(*typed, "--dry-run")
    assert (found.source, found.target) == (Path("in"), Path("clay.mp4"))
    assert (found.frames_per_slide, found.fill_only) == (2, False)
    assert (found.changes, found.backends) == (("4.text=c",), ("preview",))


def test_the_file_wins_over_the_environment(
    settled: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(BACKENDS_VARIABLE, "http://a:8188")
    write('fps = 1\nbackend = ["preview:clay", "preview:anime"]')
    assert settled("--dry-run").backends == ("preview:clay", "preview:anime")


def test_the_command_to_go_on_needs_no_file(settled: Callable[..., Settings]) -> None:
    write('fps = 4\nfill-only = true\nkeys = 3\nprompt = ""\nonly = "a"')
    told = settled("--fps", "2", "--no-fill-only", "--only-not", "b", "--dry-run")
    words = told.command[1:]
    assert {"--fps", "2", "--no-fill-only", "--only-not", "--prompt", ""} <= {*words}
    assert "--only" not in words
    assert settled(*words, "--dry-run") == replace(told, command=())
    Path(config.FILE).unlink()
    assert settled(*words, "--dry-run") == replace(told, command=())


def test_another_file_is_used_instead_and_named_in_the_command_to_go_on(
    settled: Callable[..., Settings],
) -> None:
    write("fps = 4")
    write("keys = 3", "night.toml")
    found = settled("--config", "night.toml", "--dry-run")
    assert (found.frames_per_slide, found.keys) == (2, 3)
    assert found.command[3:5] == ("--config", "night.toml")


def test_what_is_typed_excludes_what_the_file_says(settled: Callable[..., Settings]) -> None:
    write('only = "a"\nquiet = true\nseed = 7')
    found = settled("--only-not", "b", "-v", "--redo", "3")
    assert (found.only, found.only_not) == (None, Path("b"))
    assert found.seed is None  # it is the run's: slides to draw again need another one
    assert settled("--redo", "3", "--seed", "9").seed == 9
    write('only = "a"\nonly-not = "b"')
    assert "--only and --only-not exclude each other" in invoke("--dry-run").output


def test_it_is_said_what_comes_from_the_file(here: Path) -> None:
    write('source = "nowhere"\nfps = 4\nprompt = "a"')
    done = invoke("--fps", "1", "--dry-run")
    assert "Settings from restyle.toml: source, prompt." in done.output


def test_a_file_is_for_all_films_of_a_list(here: Path) -> None:
    write('fps = 0\nsource = "one"')
    Path("films.txt").write_text("nowhere out -- --fps 1\n")
    assert "fps: 0 is not in the range x>=1." in str(invoke("--batch", "films.txt").exception)
    write('fps = 4\nsource = "one"\nonly = "a"')
    Path("films.txt").write_text("nowhere out -- --only-not b --fps 1\n")
    said = str(invoke("--batch", "films.txt").exception)
    assert "There is no nowhere" in said or "there is no b" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fsp = 4", "fsp: there is no such setting. Did you mean fps?"),
        ("mask_strength = 4", "mask_strength: there is no such setting. Did you mean mask-stre"),
        ("frames_per_slide = 4", "frames_per_slide: there is no such setting."),
        ("xyz = 4", "xyz: there is no such setting. `video-restyle --help` lists them."),
        ("fresh = true", "fresh: this is for one command: write it on the command line."),
        ("redo = '3'", "redo: this is for one command"),
        ("check = true", "check: this is for one command"),
        ("config = 'x'", "config: this is for one command"),
        ("help = true", "help: there is no such setting."),
        ("version = true", "version: this is for one command"),
        ("fps = '4'", "fps: it must be a whole number, not a text."),
        ("fps = true", "fps: it must be a whole number, not true or false."),
        ("fps = 4.5", "fps: it must be a whole number, not a number."),
        ("fps = 0", "fps: 0 is not in the range x>=1."),
        ("anchor = nan", "anchor: "),
        ("anchor = '1'", "anchor: it must be a number, not a text."),
        ("fill-only = 1", "fill-only: it must be true or false, not a whole number."),
        ("model = ['a']", "model: it must be a text, not a list."),
        ("model = 2026-01-01", "model: it must be a text, not a date or a time."),
        ("set = [1]", "set: it must be a text, not a whole number."),
        ("set = [['a']]", "set: it must be a text, not a list."),
        ("[set]\n4 = 'a'", "set: it must be a text, not a table."),
        ("rate = '1/0'", "rate: '1/0' is not a frame rate"),
        ('given = "a\\u0000b"', "given: 'a\\x00b': a file name cannot contain a NUL"),
        ("motion = 'touch made'", "motion: a program is started only if"),
        ("fps = ", "restyle.toml is no TOML: "),
        ("fps = 4\nfps = 5", "restyle.toml is no TOML: "),
        (f"fps = {'9' * 5000}", "restyle.toml is no TOML: "),
        (f"set = {'[' * 5000}", "restyle.toml is no TOML: it is nested too deeply."),
    ],
)
def test_what_cannot_be_used_is_named(text: str, said: str) -> None:
    write(text)
    done = invoke("--dry-run")
    assert getattr(done.exception, "exit_code", None) == 2
    assert said in str(done.exception) and "restyle.toml" in str(done.exception)


def test_all_faults_of_a_file_are_named_together() -> None:
    write("fsp = 4\nkeys = 'a'\nfresh = true")
    said = str(invoke().exception)
    assert said.startswith("restyle.toml cannot be used:\n  fsp: ")
    assert "\n  keys: " in said and "\n  fresh: " in said


def test_a_file_that_cannot_be_read(here: Path) -> None:
    done = invoke("--config", "nowhere.toml")
    assert "nowhere.toml cannot be read" in str(done.exception)
    assert "in cannot be read" in str(invoke("--config", "in").exception)
    Path(config.FILE).mkdir()
    assert "restyle.toml is not a file" in str(invoke().exception)
    Path(config.FILE).rmdir()
    Path(config.FILE).write_bytes(b"prompt = '\xff'")
    assert "restyle.toml is no TOML" in str(invoke().exception)


def test_the_help_needs_no_usable_file() -> None:
    write("fsp = 4")
    assert invoke("-h").exit_code == 0 == invoke("--help").exit_code


def test_a_program_may_be_named_by_a_file_that_is_named(settled: Callable[..., Settings]) -> None:
    write("motion = 'my-motion -x'", "mine.toml")
    assert settled("--config", "mine.toml", "--dry-run").motion == "my-motion -x"


def test_secrets_of_the_file_are_not_shown(settled: Callable[..., Settings]) -> None:
    write('backend = "http://me:hush@a:8188"\nheader = ["A: hush"]')
    assert "hush" not in json.dumps(settled("--dry-run").command)
    write('backend = 5\nheader = ["A: hush", 5]')
    assert "hush" not in str(invoke().exception)


@pytest.mark.parametrize(
    ("server", "variable", "refused"),
    [
        ("http://a:8188", HEADERS_VARIABLE, True),
        ("http://a:8188", API_KEY_VARIABLE, False),
        ("comfy-api+https://a", API_KEY_VARIABLE, True),
    ],
)
def test_servers_of_a_file_that_came_along_get_no_secrets(
    settled: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    server: str,
    variable: str,
    refused: bool,
) -> None:
    write(f'backend = "{server}"\nheader = "A: b"')
    monkeypatch.setenv(variable, "X: hush")
    if refused:
        assert "restyle.toml names the servers" in str(invoke("--dry-run").exception)
        monkeypatch.setenv(variable, "X: hush")  # the command takes it out
        assert settled("--config", config.FILE, "--dry-run").backends == (server,)
        monkeypatch.setenv(variable, "X: hush")
        assert settled("--backend", server, "--dry-run").backends == (server,)
    else:
        assert settled("--dry-run").backends == (server,)


def test_the_names_are_those_of_the_options() -> None:
    known: dict[str, Any] = tomllib.loads(EVERY)
    names = {name.lstrip("-") for each in main.command.params for name in each.opts}
    assert known.keys() <= names
