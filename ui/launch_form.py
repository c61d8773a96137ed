"""The form on a milestone's page that starts a run of its implementation."""

import contextlib
from typing import Any

import streamlit as st

from kb import implementations
from kb.implementations import Implementation, Setting
from kb.runs import store, submission
from kb.tables import Run
from ui import auth, cache, errors, navigation
from ui.escape import escape_markdown

DEFAULT_PRESET = "quick"
PRESET_HINTS = {
    "smoke": "seconds; only shows that the code runs",
    "quick": "about a minute",
    "full": "minutes",
    "paper": "as published: hours",
}


def show_form(implementation: Implementation) -> None:
    """Shows the form; a visitor who may not start runs sees why, and the shell command."""
    st.header("Run it", anchor="run-it")
    if not auth.may_launch():
        auth.launch_hint()
        st.code(f"kb run {implementation.name} --preset {DEFAULT_PRESET}", language="bash")
        return
    template = _template_run(implementation)
    preset = _choose_preset(implementation, template)
    defaults = implementation.presets[preset]
    shown = defaults | (template.changes if template and template.preset == preset else {})
    with st.form(f"launch-{implementation.name}", border=False):
        with st.expander("Settings", icon=":material/tune:", expanded=template is not None):
            if template:
                st.caption(escape_markdown(f"The settings of run {template.id}."))
            device = _choose_device(template.device if template else "auto")
            texts = {
                setting.name: _setting_field(setting, shown[setting.name], implementation, preset)
                for setting in implementation.settings
            }
        submitted = st.form_submit_button("Run", type="primary", icon=":material/play_arrow:")
    auth.show_account()
    if submitted:
        changes = {name: text for name, text in texts.items() if text != _to_text(defaults[name])}
        _submit(implementation, preset, changes, device)


def _template_run(implementation: Implementation) -> Run | None:
    """The run in the address whose settings the form starts with, if it is of this paper."""
    with contextlib.suppress(store.UnknownRun):
        run = store.get(cache.engine(), st.query_params.get("like", ""))
        if run.implementation == implementation.name and run.preset in implementation.presets:
            return run
    return None


def _choose_preset(implementation: Implementation, template: Run | None) -> str:
    preset = st.segmented_control(
        "Preset",
        list(implementation.presets),
        default=template.preset if template else DEFAULT_PRESET,
        required=True,
        format_func=lambda name: f"{name}: {PRESET_HINTS[name]}" if name in PRESET_HINTS else name,
        key=f"preset-{implementation.name}",
    )
    return preset or DEFAULT_PRESET


def _choose_device(wanted: str) -> str:
    """Shows the devices that the last supervisor found; before the first, only "auto" and "cpu"."""
    labels = {"auto": "auto: the best free device", "cpu": "cpu"}
    labels |= {device.id: f"{device.id}: {device.name}" for device in store.devices(cache.engine())}
    ids = list(labels)
    if wanted not in labels:
        ids.append(wanted)
    device = st.selectbox(
        "device", ids, index=ids.index(wanted), format_func=lambda id: labels.get(id, id)
    )
    return str(device)


def _setting_field(
    setting: Setting, value: Any, implementation: Implementation, preset: str
) -> str:
    """A field for a setting; its text is parsed as that of `kb run --set`."""
    about = f"{setting.type}; {escape_markdown(setting.comment)}"
    key = f"{implementation.name}-{preset}-{setting.name}"
    return str(st.text_input(setting.name, _to_text(value), help=about, key=key))


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _submit(
    implementation: Implementation, preset: str, changes: dict[str, str], device: str
) -> None:
    """Queues the run and opens its page; shows what is wrong if a setting does not fit."""
    with errors.show_errors():
        settings = implementations.parse_settings(implementation, preset, changes)
        run_id = submission.submit(
            cache.engine(), implementation.name, preset, changes=settings, device=device
        )
        navigation.switch_to("run", id=run_id)
