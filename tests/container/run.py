"""Follow the Dockerfile without a builder, in a clean folder: `make container-steps`, by hand.

The folder gets what git would (the files of a commit, and new ones that are not ignored), and each
RUN of the stage is run there, with no environment but HOME and PATH. What installs packages of the
system is left out, and said: they have to be there. Arguments: the stage, and a folder to work in;
otherwise it is a temporary one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STAGE = "checked"
KEPT = ("PATH", "PIP_", "SSL_", "PYTEST_ADDOPTS")  # beginnings of variables that steps see


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Dockerfile: its word, and the rest of its lines as one."""
    text = re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE)
    for line in re.sub(r"\\\n\s*", "", text).splitlines():
        if line:
            word, _, rest = line.partition(" ")
            yield word, rest


def steps(dockerfile: str, stage: str) -> list[tuple[str, str]]:
    """Return the instructions of a stage, those of the stages that it is built from first."""
    stages: dict[str, list[tuple[str, str]]] = {}
    current: list[tuple[str, str]] = []
    for word, rest in instructions(dockerfile):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            current = [*stages.get(base, [])]
            stages[name] = current
        else:
            current.append((word, rest))
    return stages[stage]


def copy_project(folder: Path) -> None:
    """Copy the files that git would commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            (folder / name).chmod((ROOT / name).stat().st_mode)


def follow(found: list[tuple[str, str]], root: Path) -> None:
    """Carry instructions out below a folder. Raises CalledProcessError, ValueError."""
    here = root
    environment = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
    environment["HOME"] = str(root)
    for word, rest in found:
        print(f"{word} {rest}", flush=True)
        if word == "WORKDIR":
            here = root / rest.lstrip("/")
            here.mkdir(parents=True, exist_ok=True)
        elif (word, rest) == ("COPY", ". ."):
            copy_project(here)
        elif word == "RUN" and rest.startswith("apt-get"):
            print("  left out: these packages have to be there")
        elif word == "RUN":
            subprocess.run(["sh", "-c", rest], cwd=here, env=environment, check=True)
        else:
            raise ValueError(f"what {word} does is not known here")


def main(stage: str = STAGE, folder: str = "") -> None:
    found = steps((ROOT / "Dockerfile").read_text("utf-8"), stage)
    with tempfile.TemporaryDirectory() as made:
        follow(found, Path(folder or made))
    print("All steps succeeded.")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}")
