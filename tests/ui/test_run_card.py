"""The card of a run: one file with its claims and curves, and nothing from elsewhere."""

from html.parser import HTMLParser

from sqlalchemy import Engine

from kb import db
from kb.runs import store
from ui.claim_status import ClaimStatus
from ui.run_card import run_card


class Card(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]


def test_a_card_stands_alone(loaded: Engine, a_run: str) -> None:
    run = store.get(loaded, a_run)
    claims = {claim.id: claim for claim in db.claims(loaded, "dropout")}
    statuses = [
        ClaimStatus(claims[verdict.claim], verdict, run, None)
        for verdict in store.verdicts(loaded, a_run)
    ]
    rows = [row.values for row in store.rows(loaded, a_run)]
    text = run_card(run, "Dropout <script>: quick run", statuses, rows)
    card = Card(text)
    assert card.addresses == [] and "script" not in card.tags
    assert "svg" in card.tags, "the curves"
    assert "makes fewer test errors" in text and "inconclusive" in text
    assert "preset quick, seeds from 0" in text and "kb run dropout --preset quick --seed 0" in text
