"""Parts of a milestone's page that tours show as well: claims, equations with their code."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from markupsafe import Markup

from kb import results
from kb.equations import sections_with_equations
from kb.implementations import Implementation
from ui import claim_cards, html_parts
from ui.claim_status import ClaimStatus
from ui.site import drawings
from ui.site.runs import PRESET, RecordedRun
from ui.terms import terms_data


class Section(NamedTuple):
    """A function or class of an implementation, beside the equations that it computes."""

    equations: list[Markup]
    about: Markup
    code: Markup
    terms: dict[str, Any] | None  # what the component draws in its place, if there are scripts


def sections(
    entry: dict[str, Any],
    implementation: Implementation | None,
    markdown: Callable[[str], Markup],
    *,
    stacked: bool = False,
) -> list[Section]:
    if implementation is None:
        return []
    return [
        Section(
            equations=[markdown(f"$${equation}$$") for equation in equations],
            about=Markup(html_parts.section_html(section)),
            code=highlight(section.code),
            terms=terms_data(section, equations, terms, stacked=stacked) if terms else None,
        )
        for section, equations, terms in sections_with_equations(entry, implementation)
    ]


def highlight(code: str) -> Markup:
    """Python as HTML, in which each kind of word has a class of its own."""
    from pygments import highlight as pygments_highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return Markup(pygments_highlight(code, PythonLexer(), HtmlFormatter(nowrap=True)))


def claims_html(statuses: Sequence[ClaimStatus]) -> Markup:
    """A card for each claim; those that mathematics decides come after the comparisons."""
    comparisons, identities = claim_cards.by_kind(statuses)
    parts = [_card_html(status) for status in comparisons]
    if identities:
        parts.append(claim_cards.IDENTITIES_HTML)
        parts += [_card_html(status) for status in identities]
    return Markup("".join(parts))


def _card_html(status: ClaimStatus) -> str:
    """The app's card, with a drawing of the gain in each recorded block of seeds."""
    blocks = _record().get(status.claim.implementation, {"blocks": []})["blocks"]
    found = [
        (verdict, block["seed"])
        for block in blocks
        for verdict in block["verdicts"]
        if verdict["claim"] == status.claim.id
    ]
    drawing = drawings.intervals_svg(*map(list, zip(*found, strict=True))) if found else ""
    return f'<div class="kb-box">{claim_cards.card_html(status)}{drawing}</div>'


@cache
def _record() -> dict[str, Any]:
    return results.read_record(PRESET)


def curves(run: RecordedRun | None) -> Markup:
    return Markup(drawings.curves_html(run.rows) if run else "")
