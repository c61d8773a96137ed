"""The status of a run as a badge: an icon, a colour and the word."""

from typing import Literal

import streamlit as st

from kb.tables import Run

Color = Literal["red", "orange", "yellow", "blue", "green", "violet", "gray", "grey", "primary"]
ICONS = {
    "queued": ":material/hourglass_empty:",
    "running": ":material/progress_activity:",
    "paused": ":material/pause_circle:",
    "succeeded": ":material/check_circle:",
    "failed": ":material/error:",
    "cancelled": ":material/cancel:",
    "interrupted": ":material/power_off:",
}
COLORS: dict[str, Color] = {
    "queued": "gray",
    "running": "blue",
    "paused": "violet",
    "succeeded": "green",
    "failed": "red",
    "cancelled": "gray",
    "interrupted": "orange",
}


def show_badge(run: Run) -> None:
    st.badge(run.status, icon=ICONS[run.status], color=COLORS[run.status])
