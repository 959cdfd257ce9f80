"""The import rule: rooms lean one way only, and what scans never asks for torch."""

from __future__ import annotations

import ast
import doctest
import importlib
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import fauxlab

SOURCE = Path(fauxlab.__file__).parent
# From the ground up. A room may import the rooms before it, and no other: no circle, and an order.
ROOMS = [
    "errors",
    "version",
    "privacy",
    "processors",
    "progress",
    "environment",
    "records",
    "statistics",
    "io",
    "config",
    "bundle",
    "scan",
    "data",
    "transforms",
    "datasets",
    "auditing",
    "models",
    "evaluation",
    "calibration",
    "adaptation",
    "training",
    "sample",
    "compare",
    "pages",
    "reproduce",
    "cli",
    "__main__",
]
# Neighbours in the list that are strangers all the same.
STRANGERS = {
    ("data", "bundle"),
    ("transforms", "data"),
    ("models", "data"),
    ("models", "transforms"),
    ("scan", "config"),
    ("evaluation", "config"),
    ("calibration", "config"),
}
# Of what scans, indexing needs the search for faces and nothing else.
SHARED = {("data", "scan"): "fauxlab.scan.finding."}
# A light install scans, so nothing here may need torch, not even inside a function.
LIGHT = {"errors", "version", "privacy", "processors", "records", "io", "bundle", "scan"}
HEAVY = {"torch", "accelerate", "matplotlib", "torchmetrics", "safetensors"}
NEVER = {"torchvision", "timm", "torch_fidelity", "cleanfid", "pytorch_fid", "facenet_pytorch"}
FILES = sorted(SOURCE.rglob("*.py"))


@cache
def imports(path: Path) -> set[str]:
    """Every module named in an import statement, wherever it stands in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {_whole_name(node.module or "", alias.name) for alias in node.names}
    return found


def _whole_name(module: str, name: str) -> str:
    """The module that `from module import name` reads: a submodule, or the module itself."""
    place = SOURCE.parent.joinpath(*module.split("."), name)
    is_submodule = place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()
    return f"{module}.{name}" if is_submodule else module


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def rooms_imported(path: Path) -> set[str]:
    inner = {
        tuple(module.split(".")[1:]) for module in imports(path) if module.startswith("fauxlab.")
    }
    return {parts[0] for parts in inner if parts[0] in ROOMS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    room = room_of(path)
    assert not {module.split(".")[0] for module in imports(path)} & NEVER
    if room == "__init__":  # the public names, from everywhere
        return
    assert room in ROOMS, f"a new room {room!r} needs a place in the import rule"
    before = set(ROOMS[: ROOMS.index(room)])
    for other in rooms_imported(path) - {room}:
        assert other in before, f"{room} may not import {other}"
        assert (room, other) not in STRANGERS, f"{room} and {other} are strangers"


@pytest.mark.parametrize(("rooms", "shared"), SHARED.items())
def test_a_room_of_which_a_part_is_shared_keeps_the_rest(
    rooms: tuple[str, str], shared: str
) -> None:
    room, other = rooms
    used = {
        module
        for path in FILES
        if room_of(path) == room
        for module in imports(path)
        if module.startswith(f"fauxlab.{other}")
    }
    assert used
    assert all(module.startswith(shared) for module in used)


def test_every_room_has_its_place() -> None:
    rooms = {room_of(path) for path in FILES} - {"__init__"}
    assert rooms == set(ROOMS)


@cache
def files_by_module() -> dict[str, Path]:
    by_name = {}
    for file in FILES:
        parts = file.relative_to(SOURCE).with_suffix("").parts
        by_name[".".join(("fauxlab", *parts)).removesuffix(".__init__")] = file
    return by_name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_modules_of_a_room_form_no_circle(path: Path) -> None:
    """Nor does an import inside a function hide one."""
    by_name = files_by_module()
    name = next(name for name, file in by_name.items() if file == path)
    waiting, seen = [path], set()
    while waiting and name != "fauxlab":
        for module in imports(waiting.pop()) & by_name.keys() - {"fauxlab"} - seen:
            assert module != name, f"{name} leans on itself"
            seen.add(module)
            waiting.append(by_name[module])


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if room_of(path) in LIGHT],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_what_scans_never_imports_torch(path: Path) -> None:
    assert rooms_imported(path) <= LIGHT
    assert not {module.split(".")[0] for module in imports(path)} & HEAVY


def modules_loaded(code: str) -> str:
    code = f"import sys\n{code}\nprint([name for name in {sorted(HEAVY)} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_all_rooms_that_scan_load_without_torch() -> None:
    names = [
        ".".join(("fauxlab", *path.relative_to(SOURCE).with_suffix("").parts))
        for path in FILES
        if room_of(path) in LIGHT
    ]
    assert len(names) > 20
    assert modules_loaded(f"import {', '.join(names)}") == "[]"


def test_adapting_loads_without_torch() -> None:
    names = [
        ".".join(("fauxlab", *path.relative_to(SOURCE).with_suffix("").parts))
        for path in FILES
        if room_of(path) == "adaptation"
    ]
    assert len(names) > 5
    assert modules_loaded(f"import {', '.join(names)}") == "[]"


def test_help_and_package_import_nothing_heavy() -> None:
    code = (
        "import sys, fauxlab, fauxlab.cli\n"
        "heavy = ('torch', 'numpy', 'PIL', 'pydantic', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_public_names_resolve() -> None:
    for name in fauxlab.__all__:
        assert getattr(fauxlab, name) is not None
    assert set(fauxlab.__all__) | {"__version__"} <= set(dir(fauxlab))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fauxlab.nothing  # noqa: B018


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def lack_torch(module: str) -> None:
        raise ModuleNotFoundError(f"No module named 'torch' in {module}", name="torch")

    monkeypatch.setattr(fauxlab, "import_module", lack_torch)
    with pytest.raises(ModuleNotFoundError, match=r"fauxlab\.train_gan needs .*'fauxlab\[train\]'"):
        fauxlab.train_gan  # noqa: B018


def test_the_inference_library_reports_nothing() -> None:
    code = "import os, fauxlab; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "1"


def test_every_public_name_has_an_example_and_those_that_can_run_are_true() -> None:
    for name in fauxlab.__all__:
        value = getattr(fauxlab, name)
        assert ">>>" in (value.__doc__ or ""), f"{name} lacks an example"
        module = importlib.import_module(value.__module__)
        for test in doctest.DocTestFinder(recurse=False).find(value, name, module):
            assert doctest.DocTestRunner().run(test).failed == 0, name
