"""Equations from LaTeX to MathML, which browsers draw without a script and screen readers read."""

import html
from xml.etree.ElementTree import Element

WITH_LIMITS = {"msub": "munder", "msup": "mover", "msubsup": "munderover"}


def to_mathml(latex: str, *, display: str = "block") -> Element:
    """The equation as MathML. Raises ValueError if it can't be converted.

    Nothing in it links anywhere or has a style of its own. Its texts are texts, to be escaped.
    """
    from latex2mathml.converter import Converter

    try:
        tree = Converter(display=display).convert_to_element(latex)
    except Exception as error:  # its errors have no class in common
        raise ValueError(f"no LaTeX that can be drawn: {latex}") from error
    for element in tree.iter():  # its own `convert` doesn't escape what \text{} contains
        element.text = html.unescape(element.text or "")
        for name in ("href", "style"):
            element.attrib.pop(name, None)
    if display == "block":
        _move_limits(tree)
    return tree


def _move_limits(group: Element) -> None:
    """Limits of sums stand below and above, also in braces; the converter forgets it there."""
    for part in group:
        if part.tag == "mrow":
            _move_limits(part)
        elif part.tag in WITH_LIMITS and part[0].text in ("∑", "∏"):
            part.tag = WITH_LIMITS[part.tag]
