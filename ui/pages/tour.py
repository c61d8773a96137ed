"""The tours: what a step tells at the left, the thing itself at the right.

`?id=essay&step=3` is the address of a step; the step after the last sums up what was guessed.
"""

import streamlit as st

from kb import implementations
from kb.formatting import format_count
from kb.tours import Step, Tour
from ui import cache, guesses, lecture, navigation, paging, tour_views
from ui.escape import escape_markdown, sanitize_story


def show() -> None:
    tours = {tour.id: tour for tour in cache.tours()}
    id = st.query_params.get("id", "")
    if id not in tours:
        _show_list(list(tours.values()), unknown=id)
        return
    tour = tours[id]
    number = paging.read_number("step", _end(tour))
    if number > len(tour.steps):
        _show_end(tour)
    else:
        _show_step(tour, number)


def _end(tour: Tour) -> int:
    """The number of the step after the last."""
    return len(tour.steps) + 1


def _show_list(tours: list[Tour], unknown: str) -> None:
    st.title("Tours", anchor=False)
    if unknown:
        st.warning(f"There is no tour with the id {escape_markdown(unknown)}.")
    if not tours:
        st.info(
            "Nothing to walk yet: data/tours.yaml has no tour through the loaded timeline.",
            icon=":material/info:",
        )
        return
    st.write(
        "The story, step by step, with its evidence beside the text. Some steps ask you to guess "
        "first."
    )
    for tour in tours:
        with st.container(border=True):
            st.header(escape_markdown(tour.title), anchor=False)
            st.write(escape_markdown(tour.about))
            count = format_count(len(tour.steps), "step")
            navigation.link("tour", f"Begin: {count}", icon=":material/arrow_forward:", id=tour.id)


def _show_step(tour: Tour, number: int) -> None:
    step = tour.steps[number - 1]
    row = cache.milestones()[step.at]
    implementation = implementations.read(row.implementation) if row.implementation else None
    st.set_page_config(page_title=step.title)
    st.caption(f"{escape_markdown(tour.title)}: {number} of {len(tour.steps)}")
    st.title(escape_markdown(step.title), anchor=False)
    left, right = st.columns([2, 3], gap="large")
    with left:
        st.markdown(sanitize_story(step.text))
        navigation.link("milestone", f"More about {row.short}, {row.date[:4]}", id=row.id)
        hides = step.question is not None and guesses.ask(tour, number)
        paging.show_buttons("step", number, _end(tour), last="Sum up")
        lecture.show_switch()
    with right:
        if hides:
            st.caption("What was measured appears here after your guess.")
            tour_views.show_place(row)
        else:
            tour_views.show_view(step, row, implementation)


def _show_end(tour: Tour) -> None:
    st.set_page_config(page_title="What you guessed")
    st.caption(escape_markdown(tour.title))
    st.title("What you guessed", anchor=False)
    asked = [(number, step) for number, step in enumerate(tour.steps, 1) if step.question]
    made = [item for item in asked if guesses.made(tour, item[0]) is not None]
    if not asked:
        st.write("This tour asked nothing. That was its last step.")
    elif not made:
        st.write("You made no guess.")
        navigation.link("claims", "What was measured of every claim")
    else:
        right = sum(guesses.is_right(tour, number) for number, _ in made)
        st.write(f"{right} of {len(made)} came out as you guessed.")
        for number, step in made:
            _show_guess(tour, number, step)
    paging.show_buttons("step", _end(tour), _end(tour))
    if lecture.is_on():
        lecture.show_switch()
    others = [other for other in cache.tours() if other.id != tour.id]
    if others:
        st.header("Another way through", anchor=False)
    for other in others:
        navigation.link("tour", other.title, id=other.id)


def _show_guess(tour: Tour, number: int, step: Step) -> None:
    mark = ":material/check:" if guesses.is_right(tour, number) else ":material/close:"
    guess, outcome = guesses.made(tour, number), guesses.outcome_of(step)
    asked = escape_markdown(step.question.ask if step.question else "")
    st.markdown(f"{mark} {asked}  \nYou: {guess}. Measured: **{outcome}**.")
    navigation.link("tour", f"Step {number}", id=tour.id, step=str(number))
