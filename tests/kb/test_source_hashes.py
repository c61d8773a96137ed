"""Which files decide what an implementation measures."""

from pathlib import Path

import pytest

from kb import implementations, paths
from kb.source_hashes import kit_files, source_hash

KIT = {
    "__init__.py": "from impl.kit.base import main\n",
    "base.py": "def main(): pass\n",
    "nets.py": "import torch\nimport impl.kit.layers\n",
    "layers.py": "def f():\n    from impl.kit import nets\n",
    "other.py": "x = 1\n",
}
SOURCE = "from impl.kit import main, nets\n"


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    for name, text in KIT.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_are_followed_through_functions_and_circles(kit: Path) -> None:
    names = [file.name for file in kit_files(SOURCE, kit)]
    assert names == ["__init__.py", "base.py", "layers.py", "nets.py"]


@pytest.mark.parametrize("name", KIT)
def test_a_change_of_a_needed_module_changes_the_hash_and_no_other_does(
    kit: Path, name: str
) -> None:
    before = source_hash(SOURCE, kit)
    (kit / name).write_text(KIT[name] + "# changed\n")
    assert (source_hash(SOURCE, kit) != before) == (name != "other.py")


def test_a_file_that_uses_no_kit_depends_on_itself_only(kit: Path) -> None:
    assert kit_files("import torch\nfrom impl import kitchen\n", kit) == []


def test_every_module_of_the_kit_is_needed_by_an_implementation() -> None:
    sources = [implementations.read(name).source for name in implementations.names()]
    sources += [file.read_text() for file in (paths.IMPLEMENTATIONS / "ladders").glob("*.py")]
    kit = paths.IMPLEMENTATIONS / "kit"
    needed = {file for source in sources for file in kit_files(source, kit)}
    assert needed == set((paths.IMPLEMENTATIONS / "kit").glob("*.py"))
