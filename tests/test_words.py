"""Guard: every verb, qualifier and field of the timeline is in the documentation."""

import pytest

from kb import places, search
from kb.schema import KINDS, LINK_TYPES, MODELS, TRACKS
from tests.kb.test_cli import VERBS

DOCS = "\n".join((places.ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
FIELDS = sorted({field.alias or name for model in MODELS for name, field in model.model_fields.items()})


@pytest.mark.parametrize("word", [*VERBS, *FIELDS, *LINK_TYPES, *TRACKS, *KINDS, "KB_HOME", "KB_DATA", "PORT"])
def test_word_is_documented(word: str) -> None:
    assert word in DOCS


@pytest.mark.parametrize("qualifier", search.QUALIFIERS)
def test_qualifier_is_documented(qualifier: str) -> None:
    assert f"`{qualifier}:" in DOCS
