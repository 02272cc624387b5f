"""Completion in the shells that are installed, set up as docs/command-line.md says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
from support import paths
from support.programs import LONGEST_S

PAGE = (paths.ROOT / "docs" / "command-line.md").read_text("utf-8")
# Each prints what can follow the words that it is given. In bash and zsh the program's own function
# is called as on a press of Tab; what only works during one is replaced.
SHELLS = {
    "bash": (
        'complete() { :; }; compopt() { :; }; . ~/.bashrc; COMP_WORDS=("$@"); '
        'COMP_CWORD=$(($# - 1)); _video_restyle_completion "$1"; printf "%s\\n" "${COMPREPLY[@]}"'
    ),
    "zsh": (
        "compdef() { :; }; compadd() { print -l -- $completions; }; _path_files() { :; }; "
        "_describe() { print -l -- ${completions_with_descriptions%%:*}; }; . ~/.zshrc; "
        "words=($@); CURRENT=$#; _video_restyle_completion"
    ),
    "fish": 'complete -C "$argv"',
}


def complete(shell: str, home: Path, *words: str) -> list[str]:
    """Return what a shell offers for the last word."""
    quiet = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": []}[shell]
    end = [] if shell == "fish" else [shell]
    ended = run([shell, *quiet, "-c", SHELLS[shell], *end, "video-restyle", *words], home)
    return [line.partition("\t")[0] for line in ended.splitlines() if line]


def run(command: list[str], home: Path) -> str:
    programs = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
    environment = {**os.environ, "PATH": programs, "HOME": str(home)}
    environment.pop("XDG_CONFIG_HOME", None)
    ended = subprocess.run(
        command,
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_options_and_values(shell: str, tmp_path: Path) -> None:
    if os.name == "nt" or shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    found = re.search(rf"```sh\n((?:(?!```).)*{shell}_source.*?)```", PAGE, re.DOTALL)
    assert found, "docs/command-line.md does not say how"
    run(["bash", "-ec", found[1]], tmp_path)
    assert complete(shell, tmp_path, "--neg") == ["--negative-prompt"]
    assert "claymation.json" in complete(shell, tmp_path, "film.mp4", "--model", "clay")
    assert "wan-vace-fill.json" in complete(shell, tmp_path, "film.mp4", "--fill", "wan")
    assert "wan-vace-fill.json" not in complete(shell, tmp_path, "film.mp4", "--model", "wan")


def test_completion_reads_no_settings_and_needs_none(tmp_path: Path) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    (tmp_path / "restyle.toml").write_text("no TOML")
    (tmp_path / ".bashrc").write_text('eval "$(_VIDEO_RESTYLE_COMPLETE=bash_source video-restyle)"')
    assert complete("bash", tmp_path, "--redo-") == ["--redo-chain"]
