"""The package as an index shows it, and the Dockerfile."""

from __future__ import annotations

import os
import re
import runpy
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from container import run as container
from support import paths

README = (paths.ROOT / "README.md").read_text("utf-8")
PROJECT = tomllib.loads((paths.ROOT / "pyproject.toml").read_text("utf-8"))["project"]
describe = runpy.run_path(str(paths.ROOT / "setup.py"))["description"]


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", text)


def test_the_index_gets_no_link_that_leads_nowhere() -> None:
    text = describe(README)
    assert len(text) > 5000 and "before-after.webp" in text
    assert all("://" in link for link in links(text)), links(text)


def test_pictures_and_links_survive_where_the_sources_are_published() -> None:
    address = "https://example.org/stable-restyle/raw/v1"
    text = describe(README, address)
    assert f"]({address}/examples/pictures/before-after.webp)" in text
    own = [link.removeprefix(f"{address}/") for link in links(text) if link.startswith(address)]
    assert len(own) == len([link for link in links(README) if "://" not in link]) > 10
    for link in own:
        assert (paths.ROOT / link.partition("#")[0]).exists()


def test_the_index_is_told_who_what_and_where() -> None:
    assert PROJECT["authors"] == [{"name": "stable-restyle"}]
    assert {urlsplit(url).hostname for url in PROJECT["urls"].values()} == {"github.com"}
    for url in PROJECT["urls"].values():  # what it builds on, as its documents say
        assert url in README + (paths.ROOT / ".gitmodules").read_text("utf-8")
    assert len(PROJECT["keywords"]) > 5 and len(PROJECT["classifiers"]) > 5
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert f"Programming Language :: Python :: {lowest}" in PROJECT["classifiers"]


def test_every_package_is_shipped() -> None:
    listed = tomllib.loads((paths.ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    found = {
        ".".join(each.parent.relative_to(paths.ROOT).parts)
        for each in (paths.ROOT / "stable_restyle").rglob("__init__.py")
    }
    assert found | {"stable_restyle.workflows", "motion_transfer"} == {*listed["packages"]}


@pytest.mark.skipif(os.name == "nt", reason="its steps are for a POSIX shell")
@pytest.mark.skipif(not (paths.ROOT / ".git").exists(), reason="git says what is copied")
def test_the_dockerfile_runs_demo_and_tests_from_a_clean_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a program in place of make; tests/container/run.py runs the real one."""
    program = tmp_path / "bin" / "make"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$PWD $*" >> "$HOME/made"; ls -A > "$HOME/files"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    container.main(container.STAGE, str(tmp_path))
    project = tmp_path / "project"
    made = (tmp_path / "made").read_text().splitlines()
    assert made == [f"{project} {each}" for each in ("install", "demo", "test")]
    files = (tmp_path / "files").read_text().splitlines()
    assert {"README.md", "tests", "examples", "workflows", ".gitignore"} <= {*files}
    assert not {".venv", ".git", "demo"} & {*files}


def test_an_instruction_that_the_steps_do_not_know_is_refused(tmp_path: Path) -> None:
    found = container.steps("FROM a AS b\nADD x y\nFROM b AS c\nWORKDIR /d\n", "c")
    assert found == [("ADD", "x y"), ("WORKDIR", "/d")]
    with pytest.raises(ValueError, match="what ADD does"):
        container.follow(found, tmp_path)
