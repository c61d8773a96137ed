"""Notebooks: valid, the whole file in cells, text as text; three of them run from top to bottom."""

import ast
import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from kb import implementations, loader, paths
from kb.exports.notebook import as_notebook, escape_line, read_statements, safe_markdown
from kb.exports.notebook_cells import JUDGE, NEEDS, RUN, SHOW_A_RUN
from tests.kb.shell import printed, run_kb

ENTRIES = {
    entry["impl"]: entry
    for milestone in loader.read_timeline(paths.TIMELINE).milestones
    if (entry := milestone.model_dump(mode="json", by_alias=True, exclude_unset=True)).get("impl")
}
read = functools.cache(implementations.read)
RUNNER = Path(__file__).with_name("run_notebooks.py")


def notebook(name: str, **changes: Any) -> dict[str, Any]:
    text = as_notebook(ENTRIES[name] | changes, read(name), "smoke")
    return json.loads(text)  # type: ignore[no-any-return]


def sources(name: str, cell_type: str, **changes: Any) -> list[str]:
    cells = notebook(name, **changes)["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == cell_type]


def defined_names(source: str) -> set[str]:
    """What a cell or file defines or assigns at its top level, and what it imports there."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return names


def test_every_notebook_is_valid() -> None:
    nbformat = pytest.importorskip("nbformat")
    for name in ENTRIES:
        nbformat.validate(notebook(name))


def test_the_cells_have_the_whole_file_in_its_order() -> None:
    for name in ENTRIES:
        docstring, *_, script = ast.parse(source := read(name).source).body
        assert isinstance(script, ast.If)
        lines = source.split("\n")[docstring.end_lineno : script.lineno - 1]
        cells = "\n".join(sources(name, "code")[1:]).split("\n")
        wanted = [line for line in lines if line]
        assert [line for line in cells if line][: len(wanted)] == wanted, name


def test_the_cells_of_the_notebook_define_no_name_of_an_implementation() -> None:
    fixed = [NEEDS, SHOW_A_RUN, RUN.format(preset="smoke", claim="a")]
    own = {"require_packages", "run_preset", "show_rows", "show_verdicts"}
    own |= {"PRESET_NAME", "TAKEN_OUT", "ALL_ROWS", "CLAIM_TEXTS"}
    assert set().union(*map(defined_names, fixed)) - {"PRESETS"} <= own
    assert "=" not in JUDGE.replace("==", "")
    for name in ENTRIES:
        assert not defined_names(read(name).source) & own, name


def test_equations_stand_above_what_computes_them() -> None:
    cells = notebook("gru")["cells"]
    number = next(n for n, c in enumerate(cells) if "class GatedUnit" in "".join(c["source"]))
    above = "".join(cells[number - 1]["source"])
    assert above.count("$$") == 8 and "`GatedUnit` computes them" in above


def test_a_file_without_its_docstring_and_script() -> None:
    source = '"""Doc."""\nimport os\n# why\nx = 1\n\nif __name__ == "__main__":\n    main()\n'
    assert [statement.code for statement in read_statements(source)] == [
        "import os",
        "# why\nx = 1",
    ]


def test_text_stays_text() -> None:
    hostile = '"""\n\'; import os; os.abort() # <script>alert(1)</script> ``` \\'
    claim = {"id": "lower-test-error", "says": hostile, "where": hostile}
    changes = {"title": hostile, "idea": hostile, "story": hostile, "claims": [claim]}
    markdown = "\n".join(sources("dropout", "markdown", **changes))
    assert "<script" not in markdown.replace(r"\<script", "")
    cells = sources("dropout", "code", **changes)
    [texts] = [cell for cell in cells if cell.startswith("CLAIM_TEXTS")]
    [assignment] = ast.parse(texts).body
    assert isinstance(assignment, ast.Assign)
    assert ast.literal_eval(assignment.value)["lower-test-error"]["says"] == hostile
    assert [cell for cell in cells if "os.abort" in cell] == [texts]


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("a <b> $x < y$", r"a &lt;b> $x \lt  y$"),
        ("[x](https://a.org) and [y](javascript:z)", r"[x](https://a.org) and [y\](javascript:z)"),
        ("![x](https://a.org/b.png)", r"\![x](https://a.org/b.png)"),
        ("[y]: javascript:z", r"[y\]: javascript:z"),
        ("$$f[x](t)$$", "$$f[x] (t)$$"),
    ],
)
def test_a_story_has_no_html_and_links_only_to_the_web(text: str, safe: str) -> None:
    assert safe_markdown(text) == safe


def test_a_line_is_shown_letter_by_letter() -> None:
    assert escape_line("a_b*\n<i> [x](y) $5") == r"a\_b\* \<i\> \[x\](y) \$5"


def test_three_notebooks_run_from_top_to_bottom(tmp_path: Path) -> None:
    names = ["dropout", "hopfield", "gan"]
    for name in names:
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(notebook(name)), encoding="utf-8")
    files = [tmp_path / f"{name}.ipynb" for name in names]
    # within the checkout, which is not on the path: the first cell finds it
    command = [sys.executable, RUNNER, tmp_path / "summary", *files]
    subprocess.run(command, check=True, cwd=paths.ROOT / "docs", timeout=250)
    summaries = [json.loads(line) for line in (tmp_path / "summary").read_text().splitlines()]
    for name, summary in zip(names, summaries, strict=True):
        assert summary["rows"] and all(summary["pictures"]) and len(summary["tables"]) == 1
        for claim in ENTRIES[name]["claims"]:
            assert f"{claim['id']}: " in summary["printed"]
            assert claim["says"].strip() in summary["printed"]
        assert f"impl.{name}" not in summary["imported"], "the cells are what runs"
    assert "1.35 against 1.6 % test error, MNIST (Table 2)" in summaries[0]["printed"]
    assert summaries[0]["edited"] == [12.5], "an edited cell counts"


def test_what_is_missing_is_named_with_the_remedy(tmp_path: Path) -> None:
    bare = [sys.executable, "-I", "-S", "-c", NEEDS]  # without installed packages
    ended = subprocess.run(bare, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 1
    assert "needs impl, torch, numpy" in ended.stderr and "-m pip install" in ended.stderr


def test_the_shell_writes_a_notebook_and_replaces_no_other(
    loaded: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_kb(capsys, "export", "notebook", "he-init")[:2] == (0, "he-init.ipynb\n")
    written = Path("he-init.ipynb").read_text(encoding="utf-8")
    assert json.loads(written) == printed(capsys, "export", "notebook", "he_init", "--json")
    assert run_kb(capsys, "export", "notebook", "he-init")[0] == 0, "the same contents"
    status, _, err = run_kb(capsys, "export", "notebook", "he-init", "--preset", "full")
    assert status == 1 and "--to" in err
    assert Path("he-init.ipynb").read_text(encoding="utf-8") == written
    status, _, err = run_kb(capsys, "export", "notebook", "dropuot")
    assert status == 1 and "dropout" in err
    status, _, err = run_kb(capsys, "export", "dropout", "--to", "a.json")
    assert status == 1 and "> a.json" in err
    hits = printed(capsys, "export", "notebook")  # one word is a search, as ever
    assert "jupyter" in {hit["id"] for hit in hits}
