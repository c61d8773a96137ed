"""The form on a milestone's page that starts a run of its implementation."""

import contextlib
from typing import Any

import streamlit as st

from kb import implementations
from kb.formatting import format_count
from kb.implementations import Implementation, Setting
from kb.runs import store, submission
from kb.tables import Run
from ui import auth, cache, errors, navigation
from ui.escape import escape_markdown

DEFAULT_PRESET = "quick"
LOOKED_AT = 20  # newest runs, for how long the next will take
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
        submitted = st.form_submit_button("Run", icon=":material/play_arrow:")
    auth.show_account()
    if submitted:
        changes = {name: text for name, text in texts.items() if text != _to_text(defaults[name])}
        _submit(implementation, preset, changes, device)


def show_quick_button(implementation: Implementation) -> None:
    """Shows a button that starts the default preset; nothing to who may not start runs."""
    if not auth.may_launch():
        return
    label = f"Run it: {_expected_time(implementation)}"
    if st.button(label, type="primary", icon=":material/play_arrow:", key="quick-run"):
        _submit(implementation, DEFAULT_PRESET, {}, "auto")


def _expected_time(implementation: Implementation) -> str:
    """How long the default preset takes: as long as the newest run of it on this machine."""
    for run in store.latest(cache.engine(), implementation=implementation.name, limit=LOOKED_AT):
        if run.preset == DEFAULT_PRESET and not run.changes and run.status == "succeeded":
            seconds = (run.finished or 0) - (run.started or 0)
            return f"about {format_count(max(1, round(seconds / 60)), 'minute')}"
    return PRESET_HINTS[DEFAULT_PRESET]


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
    words = filter(None, (setting.type, setting.range, setting.comment))
    about = escape_markdown("; ".join(words))
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
