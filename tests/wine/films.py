"""Real films on Windows: the demo, killed and repeated to the same bytes, and a batch.

`tests/wine/run.py` has Windows' Python run this; it works anywhere. The argument is a folder, which
is emptied first.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from soak import kills  # noqa: E402
from support.runs import files  # noqa: E402

DEMO = ROOT / "examples" / "big-buck-bunny.mp4"
STORY = kills.Story(film=True, motion="flow", server=False)
LIST = f"""\
"a film.mp4"  "{Path("clay/a film.mp4")}"
{Path("calm/clay.restyle/in")}  {Path("clay/slides")}  -- --motion codec
"""


def main(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stage = kills.rehearse(STORY, DEMO, "preview:clay", folder / "calm")
    print(f"demo: {len(stage.slides)} slides and the film, {stage.took_s:.0f} s", flush=True)
    moment_s = kills.kill_and_repeat(stage, folder / "killed", Random())
    print(f"killed after {moment_s:.1f} s and repeated: the same bytes", flush=True)
    batch(folder)
    print("batch: a film and a folder of frames; repeated, both are finished", flush=True)


def batch(folder: Path) -> None:
    """Restyle a film and a folder of frames by a list; repeated, it finds both finished."""
    shutil.copy(DEMO, folder / "a film.mp4")
    (folder / "films.txt").write_text(LIST, "utf-8")
    for each in ("120 slides, all of them new", "is finished"):
        said = video_restyle(folder, "--batch", "films.txt", "--backend", "preview:clay")
        assert said.count(each) == 2, said
    assert (folder / "clay" / "a film.mp4").exists()
    assert len(files(folder / "clay" / "slides")) == 120


def video_restyle(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "stable_restyle", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stderr


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
