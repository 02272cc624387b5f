"""The modules import only from those below them, in the order that they are listed here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "stable_restyle"
FROM_THE_TOP = [
    "cli",
    "batch",
    "board",
    "pipeline",
    "intake",
    "report",
    "redo",
    "cluster",
    "worker",
    "studio",
    "thumbnails",
    "journal",
    "survey",
    "deflicker",
    "draw",
    "crew",
    "schedule",
    "backends",
    "servers",
    "comfyui",
    "wire",
    "preview",
    "fitting",
    "verdict",
    "variants",
    "workflow",
    "stability",
    "motion",
    "finished",
    "folders",
    "keys",
    "parallel",
    "flow",
    "progress",
    "lock",
    "scenes",
    "masks",
    "video",
    "fields",
    "primaries",
    "images",
    "model",
    "memory",
    "files",
    "errors",
    "shell",
]


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "stable_restyle":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.add("a relative import")
        elif isinstance(node, ast.ImportFrom):
            found |= _module(node.module or "")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found |= _module(alias.name)
    return found


def _module(name: str) -> set[str]:
    package, _, module = name.partition(".")
    return {module.partition(".")[0]} if package == "stable_restyle" else set()


def test_every_module_has_its_layer() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == {*FROM_THE_TOP, "__init__", "__main__"}


@pytest.mark.parametrize("module", FROM_THE_TOP)
def test_a_module_imports_only_from_below(module: str) -> None:
    below = FROM_THE_TOP[FROM_THE_TOP.index(module) + 1 :]
    assert imports(PACKAGE / f"{module}.py") <= set(below)


@pytest.mark.parametrize("module", FROM_THE_TOP[1:])
def test_only_the_command_line_talks_to_the_user(module: str) -> None:
    tree = ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not {"print", "exit"} & names
    assert not {"click", "tqdm"} & imported
    assert {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sys"
    } <= {"platform", "version_info"}


@pytest.mark.parametrize("module", [each for each in FROM_THE_TOP if each != "files"])
def test_only_one_module_replaces_moves_and_removes_files(module: str) -> None:
    """That one waits where another program has them open."""
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert not called.endswith((".unlink", ".rmdir", ".rename"))
            assert called not in ("os.replace", "os.remove", "shutil.rmtree", "shutil.move")
            if called.endswith(".replace") and called != "files.replace":
                assert len(node.args) != 1 or node.keywords, called  # a path's, not a string's


def test_motion_transfer_stands_alone() -> None:
    folder = PACKAGE.parent / "motion-transfer" / "motion_transfer"
    for path in folder.glob("*.py"):
        assert "stable_restyle" not in path.read_text("utf-8"), path
