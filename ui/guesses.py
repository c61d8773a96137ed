"""What a visitor of a tour guesses before the verdict of a claim is shown, kept for the session."""

import streamlit as st

from kb import db
from kb.tours import Step, Tour
from ui import cache
from ui.claim_status import ClaimStatus, claim_statuses
from ui.escape import escape_markdown

# What may be guessed, and the outcomes for which it is right.
ANSWERS: dict[str, tuple[str, ...]] = {
    "yes, clearly": ("reproduced",),
    "yes, but only a little": ("weaker",),
    "no, or nobody can tell": ("not reproduced", "inconclusive"),
}
IDENTITY_ANSWERS: dict[str, tuple[str, ...]] = {"yes, exactly": ("holds",), "no": ("fails",)}


def ask(tour: Tour, number: int) -> bool:
    """Draws the question of a step; returns whether the verdict has to wait for a guess."""
    step = tour.steps[number - 1]
    status = status_of(step)
    if step.question is None or status is None or not right_options(status):
        return False
    st.markdown(f"**{escape_markdown(step.question.ask)}**")
    options, guess = list(options_of(status)), made(tour, number)
    chosen = st.radio(
        step.question.ask,
        options,
        index=options.index(guess) if guess in options else None,
        label_visibility="collapsed",
        key=f"{_key(tour, number)}-widget",
    )
    if chosen:
        st.session_state[_key(tour, number)] = chosen
        right = ", ".join(right_options(status))
        said = "That is what was measured." if chosen == right else f"Measured: **{right}**."
        st.markdown(said)
    return chosen is None


def made(tour: Tour, number: int) -> str | None:
    """The guess that was made at a step."""
    guess = st.session_state.get(_key(tour, number))
    return str(guess) if guess else None


def is_right(tour: Tour, number: int) -> bool:
    status = status_of(tour.steps[number - 1])
    return status is not None and made(tour, number) in right_options(status)


def outcome_of(step: Step) -> str:
    status = status_of(step)
    return status.outcome if status else "not measured"


def status_of(step: Step) -> ClaimStatus | None:
    """The claim that is asked about, with its verdict on this machine or in the record."""
    asked = step.question.claim if step.question else None
    claims = [claim for claim in db.claims(cache.engine(), step.at) if claim.id == asked]
    return claim_statuses(claims)[0] if claims else None


def options_of(status: ClaimStatus) -> dict[str, tuple[str, ...]]:
    """What may be guessed, in words, with the outcomes for which each is right."""
    return IDENTITY_ANSWERS if status.kind == "identity" else ANSWERS


def right_options(status: ClaimStatus) -> list[str]:
    """None of them if the claim was never measured."""
    return [text for text, outcomes in options_of(status).items() if status.outcome in outcomes]


def _key(tour: Tour, number: int) -> str:
    return f"guess-{tour.id}-{number}"
