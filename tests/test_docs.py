"""Messages, links and options in the documents are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

from support import options_page, paths

ROOT = paths.ROOT
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
# Adjacent literals are one text: join them.
SOURCE = re.sub(
    r'"\s*\n?\s*f?r?"',
    "",
    "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "stable_restyle").rglob("*.py"))),
)
FROM_THE_SYSTEM = (
    "Too many open files",
    "No space left on device",
    "Permission denied",
    "Read-only file system",
)


def messages() -> list[str]:
    """Return the messages in the first column of the tables of docs/troubleshooting.md."""
    rows = re.findall(r"^\| (.*?) \|", TROUBLESHOOTING, re.MULTILINE)
    return [text for row in rows for text in re.findall(r"`([^`]+)`", row)]


def test_there_are_messages_to_look_for() -> None:
    assert len(messages()) > 50


def test_messages_in_the_documents_are_the_programs() -> None:
    """Names, numbers and placeholders may differ; the other words may not."""
    varying = r"\.\.\.|\b\w+\.(?:json|png|mp4)\b|\b\d+(?:x\d+)?\b|\b(?:ckpt_name|out|interp|mask)\b"
    for message in messages():
        for text in FROM_THE_SYSTEM:
            message = message.replace(text, "")
        words = max((part.strip(" :,.") for part in re.split(varying, message)), key=len)
        assert words in SOURCE, words


def links() -> list[tuple[Path, str]]:
    """Return the links of the pages within the project, each with its page."""
    pages = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")])
    found = [
        (page, link)
        for page in pages
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))
    ]
    return [(page, link) for page, link in found if "://" not in link]


def test_links_lead_to_what_is_there() -> None:
    for page, link in links():
        name, _, anchor = link.partition("#")
        path = page.parent / name if name else page
        assert path.exists(), (page, link)
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", each).lower() for each in headings]
            assert anchor in [each.replace(" ", "-") for each in anchors], (page, link)


def test_the_page_of_options_is_the_command_lines() -> None:
    assert options_page.PAGE.read_text("utf-8") == options_page.page(), "make options"


def test_the_readme_is_short() -> None:
    """Details belong in docs/."""
    assert len((ROOT / "README.md").read_bytes()) <= 9 * 1024


def files_named() -> list[str]:
    """Return the paths of Python files and folders that developers' pages name."""
    pages = [
        ROOT / "CONTRIBUTING.md",
        ROOT / "docs" / "architecture.md",
        ROOT / "docs" / "testing.md",
    ]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    return sorted(set(re.findall(r"`([\w-]+/(?:[\w/-]+\.py)?)`", text)))


def test_files_that_the_pages_name_are_there() -> None:
    for name in files_named():
        assert any((folder / name).exists() for folder in (ROOT, ROOT / "stable_restyle")), name
