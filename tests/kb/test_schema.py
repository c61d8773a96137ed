"""The JSON Schema that editors read."""

import json

from kb import paths
from kb.schema import json_schema


def test_the_schema_that_editors_read_is_the_one_in_force() -> None:
    path = paths.TIMELINE.with_name("timeline.schema.json")
    assert json.loads(path.read_text()) == json_schema(), f"`kb schema > {path}`"
    assert paths.TIMELINE.read_text().startswith(f"# yaml-language-server: $schema={path.name}\n")
