"""Who may start and stop runs: every visitor, nobody, or visitors who have signed in.

Nobody with `kb serve --read-only`; only those who have signed in where Streamlit's own sign-in is
configured, by an [auth] section in .streamlit/secrets.toml.
"""

import os

import streamlit as st
from streamlit.errors import StreamlitAuthError

from ui.escape import escape_markdown


def may_launch() -> bool:
    """Whether this visitor may start and stop runs."""
    return not _is_read_only() and (not _requires_sign_in() or _is_signed_in())


def _is_read_only() -> bool:
    return bool(os.environ.get("KB_READ_ONLY"))


def _requires_sign_in() -> bool:
    try:
        return "auth" in st.secrets
    except FileNotFoundError:  # there is no secrets file
        return False


def _is_signed_in() -> bool:
    return bool(st.user.get("is_logged_in"))


def launch_hint() -> None:
    """Shows what a visitor who may not start runs sees in place of the button."""
    if _is_read_only():
        st.caption("This server is read-only. To run it on your own machine:")
    elif st.button("Sign in to run it", icon=":material/login:", key="sign-in"):
        try:
            st.login()
        except StreamlitAuthError as error:  # incomplete configuration, or Authlib is missing
            st.error(escape_markdown(str(error)), icon=":material/error:")


def show_account() -> None:
    """Shows who has signed in and a button to sign out; nothing where no sign-in is required."""
    if not _requires_sign_in() or not _is_signed_in():
        return
    name = str(st.user.get("name") or st.user.get("email") or "an account without a name")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Signed in as {escape_markdown(name)}.")
        if st.button("Sign out", icon=":material/logout:", type="tertiary"):
            st.logout()
