"""What is read from the source of an implementation, without executing it."""

from pathlib import Path

import pytest

from kb import implementations

DOCSTRING = """Title.

Claims      a-b  first
                 goes on
            c  second (Table 1)
Left out    much"""
CLAIMS = '"""T.\n\nClaims      a  b\n"""\n'
SOURCE = '''"""T.

Claims      a  b
"""
class Config:
    n: int = 1
    rate: float = 0.5
    data: str = "mnist"
    sizes: tuple[int, ...] = (1,)
    rates: tuple[float, ...] = (0.5,)
X = Config()
PRESETS = {"smoke": X, "quick": X, "full": X, "paper": X}
'''


def test_the_docstring_has_sections() -> None:
    sections = implementations.parse_doc_sections(DOCSTRING)
    assert sections["Left out"] == "much"
    assert "goes on" in sections["Claims"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "no docstring"),
        ('"""Title."""', 'no section "Claims"'),
        (CLAIMS, "no class Config"),
        (f"{CLAIMS}class Config:\n    lr: float = 0.1 * 2\n", "is not a literal"),
        (f"{CLAIMS}class Config:\n    lr: float\n", "has no default"),
        (f"{CLAIMS}class Config:\n    lr: float = 0.1\n", "no PRESETS"),
        (
            f'{CLAIMS}class Config:\n    lr: float = 0.1\nPRESETS = {{"quick": Config()}}\n',
            "PRESETS lacks smoke, full, paper",
        ),
    ],
)
def test_a_file_that_breaks_the_contract_is_malformed(
    tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "x.py").write_text(source)
    with pytest.raises(implementations.Malformed, match=message):
        implementations.read("x", tmp_path)


@pytest.fixture
def implementation(tmp_path: Path) -> implementations.Implementation:
    (tmp_path / "x.py").write_text(SOURCE)
    return implementations.read("x", tmp_path)


def test_settings_are_parsed_by_their_type(implementation: implementations.Implementation) -> None:
    changes = {"n": "500", "rate": "1", "data": "digits", "sizes": "50,100", "rates": "0.1"}
    assert implementations.parse_settings(implementation, "quick", changes) == {
        "n": 500,
        "rate": 1.0,
        "data": "digits",
        "sizes": (50, 100),
        "rates": (0.1,),
    }


@pytest.mark.parametrize(
    ("name", "value"), [("n", "many"), ("n", "1.5"), ("m", "1"), ("rate", "'x'")]
)
def test_an_invalid_setting_is_named(
    implementation: implementations.Implementation, name: str, value: str
) -> None:
    with pytest.raises(ValueError, match=name):
        implementations.parse_settings(implementation, "quick", {name: value})


def test_an_unknown_preset_is_refused(implementation: implementations.Implementation) -> None:
    with pytest.raises(ValueError, match="no preset 'fast'"):
        implementations.parse_settings(implementation, "fast", {})
