"""Guards on the source: which package imports which, and the size of files, functions and lines."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

from kb import paths

ROOT = paths.ROOT
LAYERS = {  # package: which of the project's packages it may import
    "kb": {"kb"},
    "impl": {"impl"},
    "ui": {"ui", "kb"},
    "app.py": {"ui"},
}
FILES = sorted(
    [
        *ROOT.glob("kb/**/*.py"),
        *ROOT.glob("impl/**/*.py"),
        *ROOT.glob("ui/**/*.py"),
        ROOT / "app.py",
    ]
)
# Of kb/, only what the process of a run imports may import torch and implementations.
WORKER = ("worker.py", "cluster_trials.py", "counted_trials.py", "flop_counter.py")
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 40  # from `def` to the last line, decorators not counted
MAX_COLUMNS = 100
MEASURED_PYTHON = sorted(
    [
        *(
            path
            for folder in ("kb", "impl", "ui", "tests", "benchmarks")
            for path in ROOT.glob(f"{folder}/**/*.py")
        ),
        ROOT / "app.py",
    ]
)
MEASURED_ASSETS = sorted([*ROOT.glob("ui/**/*.js"), *ROOT.glob("ui/**/*.css")])


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def nodes(path: Path) -> list[ast.AST]:
    return [*ast.walk(ast.parse(path.read_text(encoding="utf-8")))]


@functools.cache
def imports(path: Path) -> set[str]:
    """Every module that the file imports, anywhere in it."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_each_imports_only_what_its_layer_may(subtests: pytest.Subtests) -> None:
    for path in FILES:
        with subtests.test(relative(path)):
            check_imports(path)


def check_imports(path: Path) -> None:
    here = path.relative_to(ROOT).parts
    tops = {name.split(".")[0] for name in imports(path)}
    worker = here[:2] == ("kb", "runs") and here[2] in WORKER
    allowed = LAYERS[here[0]] | ({"impl"} if worker else set())
    assert tops & {"kb", "impl", "ui", "app"} <= allowed
    if here[0] != "impl" and not worker:
        assert "torch" not in tops
    if here[0] in ("kb", "impl"):
        assert "streamlit" not in tops
    if here[0] == "ui":
        assert not tops & {"sqlite3", "sqlmodel"}
        assert "select" not in {name.split(".")[-1] for name in imports(path)}


def test_no_implementation_imports_another() -> None:
    shared = ("impl.kit", "impl.drawing")
    wrong = [
        f"{relative(path)} imports {name}"
        for path in ROOT.glob("impl/*.py")
        for name in imports(path)
        if name.startswith("impl.") and not name.startswith(shared)
    ]
    assert not wrong


def test_schema_imports_no_module_of_the_project() -> None:
    assert not {name for name in imports(ROOT / "kb" / "schema.py") if name.split(".")[0] in LAYERS}


@pytest.mark.parametrize(
    "arguments", [["search", "dropout"], ["show", "dropout"], ["claims"], ["runs"], ["check"]]
)
def test_the_shell_starts_without_torch(arguments: list[str], home: Path) -> None:
    code = (
        f"import sys; from kb import cli; assert cli.main({arguments!r}) == 0; "
        f"assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=ROOT)


def test_no_file_is_too_long() -> None:
    lengths = {
        relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in [*MEASURED_PYTHON, *MEASURED_ASSETS]
    }
    assert not {path: n for path, n in lengths.items() if n > MAX_FILE_LINES}


def test_no_line_is_too_long() -> None:
    too_long = [
        f"{relative(path)}:{number}: {len(line)} columns"
        for path in [*MEASURED_PYTHON, *MEASURED_ASSETS]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > MAX_COLUMNS
    ]
    assert not too_long


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{relative(path)}:{node.lineno}: {node.name} has {length} lines"
        for path in MEASURED_PYTHON
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not too_long
