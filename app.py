"""Streamlit's entry point for the app, which `kb serve` starts."""

from ui import navigation

navigation.show()
