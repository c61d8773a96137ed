"""The source files of the components in the browser, and how they are bundled."""

import re
from pathlib import Path

import pytest

from kb import paths
from ui.components.bundle import BundleError, bundle

COMPONENTS = sorted(path for path in paths.ROOT.glob("ui/*/*.js") if path.stem == path.parent.name)
SOURCES = sorted(paths.ROOT.glob("ui/*/*.js"))
MAX_FUNCTION_LINES = 40
# A function starts a line with its name and ends it with a brace; its end has the same indentation.
FUNCTION = re.compile(
    r"^( *)(?:export )?(?:async )?(?:get )?(?:function )?(?!if|for|while|switch)([\w$]+)\(.*\{$",
    re.M,
)


def write(folder: Path, **sources: str) -> Path:
    """Writes files, and returns the path of the entry."""
    for name, source in sources.items():
        (folder / f"{name}.js").write_text(source)
    return folder / "entry.js"


@pytest.mark.parametrize("entry", COMPONENTS, ids=lambda path: path.name)
def test_each_component_is_bundled_with_all_its_files(entry: Path) -> None:
    bundled = bundle(entry)
    for path in entry.parent.glob("*.js"):
        assert bundled.count(f"// {path.parent.name}/{path.name}\n") == 1
    assert bundled.count("export default") == 1


def test_every_folder_with_sources_is_a_component() -> None:
    folders = {path.parent.name for path in SOURCES} - {"components"}
    assert folders == {path.stem for path in COMPONENTS}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_function_in_the_browser_is_too_long(path: Path) -> None:
    source = path.read_text()
    too_long = {}
    for found in FUNCTION.finditer(source):
        end = source.index(f"\n{found[1]}}}", found.start())
        if (lines := source.count("\n", found.start(), end) + 2) > MAX_FUNCTION_LINES:
            too_long[found[2]] = lines
    assert not too_long


def test_a_file_comes_once_and_after_those_that_it_imports(tmp_path: Path) -> None:
    entry = write(
        tmp_path,
        entry='import { b } from "./b.js";\nimport { c } from "./c.js";\nexport default b;',
        b='import { c } from "./c.js";\nexport function b() {}',
        c="const secret = 1;\nexport const c = 2;\nexport class D {}",
    )
    bundled = bundle(entry)
    headers = re.findall(r"^// .*/(\w+)\.js$", bundled, re.M)
    assert headers == ["c", "b", "entry"]
    assert "return { D, c };" in bundled
    assert bundled.count("const { c } = module0;") == 2


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ({"entry": 'import { b } from "./b.js";\nexport default b;'}, "no such file"),
        (
            {"entry": 'import { b } from "./b.js";\nexport default b;', "b": "const b = 1;"},
            "b.js exports no 'b'",
        ),
        (
            {
                "entry": 'import { b } from "./b.js";\nexport default b;',
                "b": 'import { x } from "./entry.js";\nexport const b = 1;',
            },
            "import each other: entry.js -> b.js -> entry.js",
        ),
        (
            {
                "entry": 'import { b } from "./b.js";\nexport default b;',
                "b": "export const b = 1;\nexport default b;",
            },
            "b.js: no default export",
        ),
        ({"entry": "const a = 1;"}, "exactly one default export"),
        ({"entry": "export default a;\nexport default b;"}, "exactly one default export"),
        ({"entry": 'import b from "./b.js";\nexport default b;'}, "not handled: import b"),
        ({"entry": 'import * as b from "./b.js";\nexport default b;'}, "not handled: import"),
        ({"entry": 'import { b } from "package";\nexport default b;'}, "not handled: import"),
        ({"entry": "export let a = 1;\nexport default a;"}, "not handled: export let"),
        ({"entry": "export { a };\nexport default a;"}, "not handled: export"),
        ({"entry": 'const a = await import("./b.js");\nexport default a;'}, "not handled: import"),
    ],
)
def test_what_is_not_handled_is_an_error(
    tmp_path: Path, sources: dict[str, str], message: str
) -> None:
    with pytest.raises(BundleError, match=re.escape(message)):
        bundle(write(tmp_path, **sources))
