"""Guard: the documents name what there is: verbs, qualifiers, fields, variables, files, anchors."""

import re
from pathlib import Path

import pytest

from kb import paths, search
from kb.schema import KINDS, LINK_TYPES, MODELS, TRACKS
from tests.kb.test_cli import VERBS

DOCUMENTS = sorted([*paths.ROOT.glob("*.md"), *paths.ROOT.glob("docs/*.md")])
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}
PROSE = "\n".join(text for path, text in TEXTS.items() if path.name != "RESULTS.md")
FIELDS = sorted(
    {field.alias or name for model in MODELS for name, field in model.model_fields.items()}
)
VARIABLES = sorted(
    {
        variable
        for folder in ("kb", "ui", "impl")
        for path in paths.ROOT.glob(f"{folder}/**/*.py")
        for variable in re.findall(r"\bKB_[A-Z_]+", path.read_text(encoding="utf-8"))
    }
    - {"KB_WORKER"}  # how a run's processes find each other; nobody sets it
)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
PATH = re.compile(r"`((?:kb|ui|impl|tests|docs|data|benchmarks|results)/[\w./-]*)`")


@pytest.mark.parametrize(
    "word", [*VERBS, *FIELDS, *LINK_TYPES, *TRACKS, *KINDS, *VARIABLES, "PORT"]
)
def test_word_is_documented(word: str) -> None:
    assert re.search(rf"\b{re.escape(word)}\b", PROSE)


@pytest.mark.parametrize("qualifier", search.QUALIFIERS)
def test_qualifier_is_documented(qualifier: str) -> None:
    assert f"`{qualifier}:" in PROSE


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target, anchor in LINK.findall(TEXTS[path]):
        file = path.parent / target if target else path
        assert file.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in anchors(TEXTS[file.resolve()]), f"{target} has no #{anchor}"


def anchors(text: str) -> set[str]:
    """The anchors that a Markdown viewer gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    named = set(PATH.findall(TEXTS[path])) - EXAMPLES
    assert not [name for name in named if not (paths.ROOT / name).exists()]


EXAMPLES = {
    "impl/NAME.py",
    "impl/se_net.py",
    "tests/impl/test_se_net.py",
    "results/PRESET.json",
}
