"""Give the package its description: README.md, with pictures and links that work elsewhere too.

On a package index, a path within this project leads nowhere. Whoever publishes the sources names
their address, without a slash at its end:

    STABLE_RESTYLE_URL=https://HOST/OWNER/stable-restyle/raw/v0.1.0 python -m build

Then each path is put behind it. Without an address, the text names the file: the sources have it.
Everything else about the package is in pyproject.toml.
"""

import os
import re
from pathlib import Path

LINK = re.compile(r"(?P<picture>!?)\[(?P<words>[^]]*)]\((?!\w+:|#)(?P<path>[^)]+)\)")


def description(readme: str, address: str = "") -> str:
    """Return a page in Markdown without links to paths of this project."""

    def replaced(link: re.Match[str]) -> str:
        words, path = link["words"], link["path"]
        if address:
            return f"{link['picture']}[{words}]({address}/{path})"
        return f"*{words}* (`{path}`)" if link["picture"] else words

    return LINK.sub(replaced, readme)


if __name__ == "__main__":
    from setuptools import setup

    text = Path(__file__).with_name("README.md").read_text("utf-8")
    setup(
        long_description=description(text, os.environ.get("STABLE_RESTYLE_URL", "")),
        long_description_content_type="text/markdown",
    )
