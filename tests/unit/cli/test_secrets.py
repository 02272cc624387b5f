"""Who may see what: passwords, tokens and headers go to the servers and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import clips
from support.comfy_server import ComfyServer, answer, dropped, redirected
from support.programs import COMMAND, LONGEST_S

from stable_restyle.cli import options
from stable_restyle.core.settings import API_KEY_VARIABLE, BACKENDS_VARIABLE

PASSWORD, TOKEN, QUERY = "hush-hush", "s3cret-token", "qu3ry-key"
SPY = """
import os, runpy, sys
from pathlib import Path
Path(os.environ["SEEN"]).open("a").write(repr(sys.argv) + repr(dict(os.environ)))
runpy.run_module("motion_transfer", run_name="__main__")
"""


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer(password=PASSWORD, headers={"X-Key": TOKEN}) as server:
        yield server


def url_of(server: ComfyServer) -> str:
    return f"{server.url}?key={QUERY}"


def tell_all(folder: Path, *arguments: str, **environment: str) -> str:
    """Everything that a command says, and everything that it writes."""
    done = subprocess.run(
        [*COMMAND, *arguments, "-v"],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
    )
    texts = [done.stdout, done.stderr]
    texts += [
        path.read_text("utf-8")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in ("", ".json", ".txt")
    ]
    return "\n".join(texts)


def assert_kept(said: str) -> None:
    for secret in (PASSWORD, TOKEN, QUERY):
        assert secret not in said, said


@pytest.mark.parametrize(
    "day",
    [
        None,
        answer(401, f"no {PASSWORD} {TOKEN} {QUERY}"),
        pytest.param(answer(500, f"no {PASSWORD} {TOKEN} {QUERY}"), marks=pytest.mark.long),
        redirected(f"http://me:{PASSWORD}@127.0.0.1:9/?key={QUERY}"),
        pytest.param(dropped, marks=pytest.mark.long),
    ],
)
def test_a_run_shows_none_of_them(server: ComfyServer, tmp_path: Path, day: object) -> None:
    clips.write_folder(tmp_path / "in", clips.scenes(3))
    spy = tmp_path / "spy.py"
    spy.write_text(SPY)
    if day is not None:
        server.always("POST /prompt", day)  # type: ignore[arg-type]
    environment = {
        BACKENDS_VARIABLE: url_of(server),
        options.HEADERS_VARIABLE: f"X-Key: {TOKEN}",
        API_KEY_VARIABLE: TOKEN,
        "SEEN": str(tmp_path / "seen.txt"),
    }
    motion = ("--motion", f'"{sys.executable}" "{spy}"', "--patience", "0.005", "--fps", "1")
    said = tell_all(tmp_path, *motion, **environment)
    assert_kept(said)
    if day is None:
        assert "Done: 3 slides" in said
        assert (tmp_path / "seen.txt").exists()
        settings = json.loads((tmp_path / "interp" / "settings.json").read_text())
        assert settings["drawn_by"] == "ComfyUI"
    assert_kept(tell_all(tmp_path, "--check", **environment))


@pytest.mark.parametrize(
    "arguments",
    [
        ("in", "out", "{url}"),  # without --backend
        ("--backend", "{url}", "--no-such-option"),
        ("--backend", "comfy-api+{url}"),
        ("--header", "X-Key: {token}\x01", "--backend", "{url}"),
        *(
            pytest.param(words, marks=pytest.mark.long)
            for words in (
                ("{url}",),
                ("in", "{url}"),
                ("in", "{url}", "--backend", "preview"),
                ("--backends", "{url}"),
                ("--backend", "{url} "),
                ("--backend", "HTTP:{url}"),
                ("--backend", "comfy-api:{url}"),
                ("--header", "X-Key {token}", "--backend", "{url}"),
                ("--seconds", "2", "--backend", "{url}"),
            )
        ),
    ],
)
def test_a_mistyped_command_shows_none_of_them(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    url = f"http://me:{PASSWORD}@127.0.0.1:9"
    words = [word.format(url=url, token=TOKEN) for word in arguments]
    clips.write_folder(tmp_path / "in", clips.scenes(2))
    assert_kept(tell_all(tmp_path, *words, "--patience", "0"))


def test_control_characters_never_reach_the_terminal(tmp_path: Path) -> None:
    said = tell_all(tmp_path, "in\x1b]0;title\x07\r\x9b31m", "--backend", "preview")
    assert "in\\x1b]0;title\\x07\\r\\x9b31m" in said
    assert not set("\x1b\x07\x9b") & set(said)
