"""Packages import only from those below them, and never another package's private module."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support import paths

PACKAGE = paths.ROOT / "stable_restyle"
# Packages of one layer do not import each other.
LAYERS = [
    {"cli"},
    {"run"},
    {"cluster"},
    {"drawing"},
    {"report"},
    {"workdir"},
    {"motion", "plan", "backends"},
    {"imaging", "media"},
    {"core"},
]
PACKAGES = {name: layer for layer, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))
BELOW_CLI = [path for path in MODULES if len(path.parts) > 1 and path.parts[0] != "cli"]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse((PACKAGE / path).read_text("utf-8"))


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a module imports, wherever in it: "media.png.read"."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def own_imports(path: Path) -> Iterator[list[str]]:
    """Yield what a module imports of this project, in parts: ["media", "png", "read"]."""
    for name in imports(path):
        package, _, rest = name.partition(".")
        if package == "stable_restyle":
            yield rest.split(".")


def test_every_package_has_its_layer() -> None:
    assert {path.parts[0] for path in MODULES if len(path.parts) > 1} == set(PACKAGES)


def test_hardly_anything_lies_outside_the_packages() -> None:
    assert {str(path) for path in MODULES if len(path.parts) == 1} <= {
        "__init__.py",
        "__main__.py",
    }


def imported_by_others() -> Iterator[tuple[Path, list[str]]]:
    """Yield each module, and in parts what it imports of another package of this project."""
    for path in MODULES:
        yield from ((path, parts) for parts in own_imports(path) if parts[0] != path.parts[0])


def test_a_module_imports_only_from_below() -> None:
    for path, parts in imported_by_others():
        if path.parts[0] in PACKAGES:
            below = PACKAGES[parts[0]] > PACKAGES[path.parts[0]]
            assert below, f"{path} imports {'.'.join(parts)}"


def test_private_modules_stay_in_their_package() -> None:
    for path, parts in imported_by_others():
        assert not any(part.startswith("_") for part in parts), f"{path}: {'.'.join(parts)}"


def test_there_are_no_import_cycles() -> None:
    modules = {path.with_suffix("").as_posix().replace("/", "."): path for path in MODULES}
    edges = {
        name: {
            target
            for parts in own_imports(path)
            for target in itertools.accumulate(parts, "{}.{}".format)
            if target in modules and target != name
        }
        for name, path in modules.items()
    }
    while leaves := {name for name, targets in edges.items() if not targets & edges.keys()}:
        edges = {name: targets for name, targets in edges.items() if name not in leaves}
    assert not edges, f"these import each other: {', '.join(sorted(edges))}"


def test_only_the_command_line_talks_to_the_user() -> None:
    for path in BELOW_CLI:
        nodes = list(ast.walk(tree(path)))
        names = {node.id for node in nodes if isinstance(node, ast.Name)}
        assert not {"print", "exit"} & names, path
        assert not {"click", "tqdm"} & {name.partition(".")[0] for name in imports(path)}, path
        of_sys = {
            node.attr
            for node in nodes
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sys"
        }
        assert of_sys <= {"platform", "version_info"}, path


def test_only_one_module_replaces_moves_and_removes_files() -> None:
    """It waits if another program has a file open."""
    for path in [each for each in MODULES if each.name != "files.py"]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert not called.endswith((".unlink", ".rmdir", ".rename")), path
                forbidden = ("os.replace", "os.remove", "shutil.rmtree", "shutil.move")
                assert called not in forbidden, path
                if called.endswith(".replace") and called != "files.replace":
                    # a path's, not a string's
                    assert len(node.args) != 1 or node.keywords, (path, called)


@pytest.mark.parametrize(
    ("package", "inside"),
    [
        ("requests", "backends/comfyui"),
        ("websocket", "backends/comfyui"),
        ("ffmpeg", "media"),
        ("av", "media"),
        ("isal", "media"),
        ("distributed", "cluster"),
    ],
)
def test_a_package_of_others_is_used_in_one_place(package: str, inside: str) -> None:
    users = {path for path in MODULES if package in {n.partition(".")[0] for n in imports(path)}}
    assert users and all(path.is_relative_to(inside) for path in users)


def test_motion_transfer_stands_alone() -> None:
    folder = PACKAGE.parent / "motion-transfer" / "motion_transfer"
    for path in folder.glob("*.py"):
        assert "stable_restyle" not in path.read_text("utf-8"), path


def test_options_stop_in_the_runs() -> None:
    """Packages below get the two or three values that they need."""
    for path in MODULES:
        takes = ["core", "settings", "Settings"] in own_imports(path)
        assert not takes or path.parts[0] in ("cli", "run", "core"), path


def test_a_module_has_at_most_400_lines() -> None:
    lengths = {path: len((PACKAGE / path).read_text("utf-8").splitlines()) for path in MODULES}
    assert {path: length for path, length in lengths.items() if length > 400} == {}
