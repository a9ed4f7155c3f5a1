"""The house's rules on the syntax tree: who imports whom, how files are read, and no machine's paths."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXPORT_ONLY = {"torch", "torchvision", "diffusers", "open_clip", "timm", "onnx", "onnxscript", "safetensors"}
OFFLINE = {"export", "benchmarks", "tests"}
FORBIDDEN = {
    "appliance": EXPORT_ONLY | OFFLINE,
    "engines": EXPORT_ONLY | OFFLINE | {"appliance", "cv2"},
    "export": {"appliance", "benchmarks", "tests"},
}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
PACKAGES = ("appliance", "engines", "export", "benchmarks")
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in ("appliance", "engines")
    for path in sorted((ROOT / package).rglob("*.py"))
    if path.name != "__main__.py"
]


def _files(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Full names of all modules that a tree imports, inside functions and by literal strings too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module
        elif isinstance(node, ast.Call) and _called(node).endswith(("import_module", "__import__")):
            yield from (a.value for a in node.args[:1] if isinstance(a, ast.Constant))


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node).endswith(name))


def test_the_search_finds_every_kind_of_import() -> None:
    """Plain, from, aliased, nested in a function, and by name; relative ones stay in the house."""
    code = """
import torch.nn as nn
from timm import create_model
from . import sibling
def late():
    import onnx
    from diffusers.models import unet
    importlib.import_module("open_clip")
    return __import__("pickle")
"""
    names = {name.split(".")[0] for name in imported(ast.parse(code))}
    assert names == {"torch", "timm", "onnx", "diffusers", "open_clip", "pickle"}


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_imports_point_one_way(package: str) -> None:
    """appliance -> engines <- export; torch and its kin live in export alone."""
    files = _files(package)
    assert files, f"no modules in {package}"
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in imported(_tree(path))
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_no_package_imports_relatively() -> None:
    """Full names only: what imports what can be read off a line."""
    wrong = [
        str(path.relative_to(ROOT))
        for path in _files(*PACKAGES)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]
    assert wrong == []


def test_no_runtime_leaves_its_folder() -> None:
    """onnxruntime is imported in engines/onnxrt alone, of what runs on the box; TensorRT and CUDA are in
    engines/tensorrt."""
    homes = {"onnxruntime": "engines/onnxrt"}
    homes |= dict.fromkeys(("tensorrt", "tensorrt_rtx", "cuda"), "engines/tensorrt")
    found = {
        (name.split(".")[0], path.parent.relative_to(ROOT).as_posix())
        for path in _files("appliance", "engines")
        for name in imported(_tree(path))
        if name.split(".")[0] in homes
    }
    assert found <= set(homes.items())
    assert {"onnxruntime", "cuda"} <= {name for name, _ in found}


def test_every_module_is_imported_without_torch() -> None:
    """In a fresh process, every module of the box loads, and none of the export's packages comes with it."""
    code = (
        "import importlib, sys\n"
        f"for name in {MODULES!r}:\n"
        "    importlib.import_module(name)\n"
        f"print(sorted({EXPORT_ONLY | OFFLINE!r} & {{name.split('.')[0] for name in sys.modules}}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert len(MODULES) > 40


@pytest.mark.parametrize("module", ["cli", "score_output"])
def test_what_starts_often_starts_lightly(module: str) -> None:
    """`goodparts score` and `--help` need neither the settings nor the report, which take half a second."""
    heavy = {"pydantic", "jinja2", "rich", "yaml"}
    code = f"import sys, appliance.{module}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_nothing_is_pickled() -> None:
    """A pickle runs code when it is read; nothing in the house reads or writes one."""
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in _files(*PACKAGES)
        for name in imported(_without_error_names(_tree(path)))
        if name.split(".")[0] in PICKLES
    ]
    assert wrong == []


def _without_error_names(tree: ast.Module) -> ast.Module:
    """The tree without `from pickle import UnpicklingError`: to catch that error is to read no pickle."""
    allowed = ast.unparse(ast.parse("from pickle import UnpicklingError"))
    return ast.Module([node for node in tree.body if ast.unparse(node) != allowed], type_ignores=[])


def test_arrays_are_loaded_without_pickles() -> None:
    """Every np.load says allow_pickle=False; every torch.load says weights_only=True."""
    wrong = []
    for path in _files(*PACKAGES):
        tree = _tree(path)
        for name, keyword, value in (
            ("np.load", "allow_pickle", False),
            ("torch.load", "weights_only", True),
        ):
            for call in _calls(tree, name):
                given = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
                if given.get(keyword) is not value:
                    wrong.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert wrong == []


def test_yaml_is_read_safely() -> None:
    """No loader that makes objects: the only names of yaml in use are the safe ones."""
    safe = {"SafeLoader", "CSafeLoader", "safe_load", "safe_dump", "YAMLError", "MarkedYAMLError"}
    safe |= {"MappingNode", "SequenceNode", "ScalarNode", "Node", "Mark", "compose", "events", "nodes"}
    used = {
        node.attr
        for path in _files(*PACKAGES)
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml"
    }
    assert not {name for name in used if name not in safe and "oad" in name}, used
    assert used, "the settings are read with yaml"


def _tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    done = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("git does not serve this checkout")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def test_no_file_names_a_place_of_one_machine() -> None:
    """Nothing refers to a home or a work folder: the repository is the same everywhere."""
    places = tuple(f"/{name}/" for name in ("work", "root", "home"))
    wrong = []
    for path in _tracked():
        data = path.read_bytes() if path.is_file() else b""
        if b"\0" in data or path == Path(__file__):
            continue
        text = data.decode("utf-8", "replace")
        wrong += [f"{path.relative_to(ROOT)}: {place}" for place in places if place in text]
    assert wrong == []
