"""Guard: the imports are those of DESIGN's diagram, read with `ast` and tried in real processes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from kb import places

ROOT = places.ROOT
LAYERS = {  # package: which of the project's packages it may import
    "kb": {"kb"},
    "impl": {"impl"},
    "ui": {"ui", "kb"},
    "app.py": {"ui"},
}
FILES = sorted([*ROOT.glob("kb/**/*.py"), *ROOT.glob("impl/**/*.py"), *ROOT.glob("ui/**/*.py"), ROOT / "app.py"])


def imports(path: Path) -> set[str]:
    """Every module that the file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_what_its_layer_may(path: Path) -> None:
    here = path.relative_to(ROOT).parts
    tops = {name.split(".")[0] for name in imports(path)}
    worker = here == ("kb", "runs", "worker.py")
    allowed = LAYERS[here[0]] | ({"impl"} if worker else set())
    assert tops & {"kb", "impl", "ui", "app"} <= allowed
    if here[0] != "impl" and not worker:
        assert "torch" not in tops
    if here[0] in ("kb", "impl"):
        assert "streamlit" not in tops
    if here[0] == "ui":
        assert not tops & {"sqlite3", "sqlmodel"}
        assert "select" not in {name.split(".")[-1] for name in imports(path)}


@pytest.mark.parametrize("path", sorted(ROOT.glob("impl/*.py")), ids=lambda path: path.name)
def test_no_implementation_imports_another(path: Path) -> None:
    ours = {name for name in imports(path) if name.startswith("impl")}
    assert all(name == "impl" or name.startswith("impl.kit") for name in ours)


def test_schema_imports_nothing_of_ours() -> None:
    assert not {name for name in imports(ROOT / "kb" / "schema.py") if name.split(".")[0] in LAYERS}


@pytest.mark.parametrize("arguments", [["search", "dropout"], ["show", "dropout"], ["claims"], ["runs"], ["check"]])
def test_the_shell_starts_without_torch(arguments: list[str], home: Path) -> None:
    code = f"import sys; from kb import cli; assert cli.main({arguments!r}) == 0; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)
