"""The project's own rules: who imports whom, one set of versions, and a README whose commands exist."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
KERNELS = {"vectors", "text", "transformer", "quantization"}

# Which packages of aieng each may import besides itself.
MAY_IMPORT = {
    **{kernel: set() for kernel in KERNELS},
    "generation": KERNELS, "training": KERNELS,
    "models": KERNELS | {"generation", "training"},
    "data": {"models"},
    "reasoning": KERNELS | {"generation", "training", "models", "data"},
    "agents": KERNELS | {"generation", "training", "models", "data", "reasoning"},
    "figures": set(),
}
PRESENTATION = {"ipywidgets", "plotly", "nbgrader", "IPython", "anywidget"}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


FILES = [p for p in sorted((ROOT / "aieng").rglob("*.py")) if p.parent != ROOT / "aieng"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_architecture(path):
    package = path.relative_to(ROOT / "aieng").parts[0]
    if package == "lesson":
        assert not any(m.split(".")[0] == "autograder" for m in imports(path))
        return
    for module in imports(path):
        parts = module.split(".")
        if parts[0] == "aieng" and len(parts) > 1:
            assert parts[1] == package or parts[1] in MAY_IMPORT[package], f"{package} must not import {module}"
        if package != "figures":
            assert parts[0] not in PRESENTATION, f"{package} must not import {module}"
    if package in KERNELS and "databases" not in str(path):
        third_party = {m.split(".")[0] for m in imports(path)} & {"faiss", "sklearn", "scipy", "pandas", "requests", "hnswlib"}
        assert not third_party, f"a kernel is our own: {third_party}"


def test_environment_yml_has_the_versions_of_pyproject():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    listed = re.findall(r"^      - (\S+==\S+)$", (ROOT / "environment.yml").read_text(), re.M)
    assert listed == wanted
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", w) for w in wanted)


def test_constraints_agree_with_the_pins():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    fixed = dict(line.lower().split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    for pin in [*project["dependencies"], *project["optional-dependencies"]["test"], *project["optional-dependencies"]["cloud"]]:
        name, version = pin.lower().split("==")
        assert fixed[name] == version


DOCUMENTS = ("README.md", "CONTRIBUTING.md", "notebooks/README.md", "autograder/README.md")


def test_readmes_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for document in DOCUMENTS:
        for target in re.findall(r"`?make ([a-z]+)", (ROOT / document).read_text()):
            assert re.search(rf"^{target}:", makefile, re.M), f"{document} names make {target}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_functions_are_documented(path):
    """Every public module, class and function says what it is for."""
    if path.parent.name == "exercises" or path.name.startswith("_"):
        return  # a property's name and messages stand in its decorator and its body
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert path.name == "__init__.py" or ast.get_docstring(tree), "the module has no docstring"
    missing = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)
               and not node.name.startswith("_") and not ast.get_docstring(node)]
    assert not missing, f"without a docstring: {missing}"


def test_every_module_is_used():
    """Nothing in the package is there for its own sake: another module, a notebook or a script of assets imports it."""
    sources = [*(ROOT / "aieng").rglob("*.py"), *(ROOT / "assets").glob("*.py"), *(ROOT / "autograder").rglob("*.py")]
    used = {name for path in sources for name in imports(path)}
    text = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "solutions").rglob("*.ipynb"))
    named = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "aieng").rglob("*.py"))
    for path in FILES:
        if path.name == "__init__.py" or path.parent.name in ("exercises", "quizzes"):
            continue  # found by their names
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        package, name = module.rsplit(".", 1)
        from_package = any(f"from {package} import" in t and name in t for t in (text, named))
        assert module in used or module in text or module in named or from_package, f"nobody imports {module}"


def test_workers_keep_groups_together(request):
    """pytest 9.2 makes pytest-xdist 3.8 forget groups without a word (pytest-dev/pytest-xdist#1386): every shared set-up is made twice."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("only where xdist shares the tests out by groups, as make test does")
    assert request.node.nodeid.endswith("@tests/test_project.py")
