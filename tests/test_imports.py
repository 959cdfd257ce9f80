"""The import rule: each room may only lean on those before it, and importing the package costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fauxlab

SOURCE = Path(fauxlab.__file__).parent
# Room → rooms it may import. `data` and `models` are strangers to each other.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "records": set(),
    "progress": set(),
    "environment": set(),
    "statistics": {"records"},
    "config": {"errors"},
    "data": {"statistics", "config", "records", "errors"},
    "models": {"config", "records", "errors"},
    "evaluation": {"data", "models", "statistics", "config", "records", "errors"},
    "training": {"evaluation", "data", "models", "statistics", "environment", "config", "records", "errors"},
}
TOP = {"compare", "reproduce", "report", "sample", "scan"}
for room in TOP:
    ALLOWED[room] = {*ALLOWED["training"], "training", *TOP}
ALLOWED["cli"] = {*ALLOWED["scan"], "progress"}
ALLOWED["__main__"] = {"cli"}
ALLOWED["__init__"] = set(ALLOWED) - {"__main__", "cli"}
NEVER = {"torchvision", "timm", "torch_fidelity", "cleanfid", "pytorch_fid", "facenet_pytorch"}


def imports(path: Path) -> set[str]:
    """Every module named in an import statement, wherever it stands in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_go_one_way(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    assert room in ALLOWED, f"a new room {room!r} needs a place in the import rule"
    for module in imports(path):
        top, *rest = module.split(".")
        assert top not in NEVER, f"{path} imports {top}"
        if (
            top == "fauxlab"
            and rest
            and (SOURCE / rest[0]).with_suffix("").exists() | (SOURCE / f"{rest[0]}.py").exists()
        ):
            assert rest[0] in {*ALLOWED[room], room}, f"{room} may not import {rest[0]}"


def test_help_and_package_import_nothing_heavy() -> None:
    code = (
        "import sys, fauxlab, fauxlab.cli\n"
        "print([m for m in ('torch', 'numpy', 'PIL', 'pydantic', 'accelerate', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "name",
    [
        "config",
        "data.files",
        "data.images",
        "models",
        "models.config",
        "models.folder",
        "models.onnx",
        "records",
        "scan",
    ],
)
def test_what_scanning_takes_is_light(name: str) -> None:
    code = (
        f"import sys, fauxlab.{name}\n"
        "print([m for m in ('torch', 'accelerate', 'matplotlib', 'torchmetrics', 'safetensors') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_public_names_resolve() -> None:
    for name in fauxlab.__all__:
        assert getattr(fauxlab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fauxlab.nothing  # noqa: B018
