"""The form on a milestone's page that starts a run of its implementation."""

import contextlib
from typing import Any

import streamlit as st

from kb import implementations
from kb.implementations import Implementation, Setting
from kb.runs import store, submission
from kb.tables import Run
from ui import auth, cache, errors, navigation, run_time, sliders, sweep_form
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
        sweep_form.show_recent(implementation)
        return
    template = _template_run(implementation)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        preset = _choose_preset(implementation, template)
        main = _choose_main_settings(implementation, preset)
    defaults = implementation.presets[preset]
    shown = defaults | (template.changes if template and template.preset == preset else {})
    with st.form(f"launch-{implementation.name}", border=False):
        texts = _show_sliders(main, shown, implementation, preset)
        with st.expander("Settings", icon=":material/tune:", expanded=template is not None):
            if template:
                st.caption(escape_markdown(f"The settings of run {template.id}."))
            device = _choose_device(template.device if template else "auto")
            for setting in implementation.settings:
                if setting not in main:
                    value = shown[setting.name]
                    texts[setting.name] = _setting_field(setting, value, implementation, preset)
        submitted = st.form_submit_button("Run", icon=":material/play_arrow:")
    sweep_form.show_form(implementation, preset)
    auth.show_account()
    if submitted:
        changes = {name: text for name, text in texts.items() if text != _to_text(defaults[name])}
        _submit(implementation, preset, changes, device)


def show_quick_button(implementation: Implementation) -> None:
    """Shows a button that starts the default preset; nothing to who may not start runs."""
    if not auth.may_launch():
        return
    label = f"Run it: {run_time.expected_time(implementation, DEFAULT_PRESET)}"
    if st.button(label, type="primary", icon=":material/play_arrow:", key="quick-run"):
        _submit(implementation, DEFAULT_PRESET, {}, "auto")


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


def _choose_main_settings(implementation: Implementation, preset: str) -> list[Setting]:
    """The settings with a slider; none if the visitor would rather type their values."""
    main = sliders.main_settings(implementation, preset)
    if not main:
        return []
    hint = "Any value, in a field below, in place of the sliders' stops"
    is_typed = st.toggle("Type values", help=hint, key=f"typed-{implementation.name}")
    return [] if is_typed else main


def _show_sliders(
    main: list[Setting], shown: dict[str, Any], implementation: Implementation, preset: str
) -> dict[str, str]:
    """A slider for each of these settings; the values that they are set to, as texts."""
    texts = {}
    for setting, column in zip(main, st.columns(max(1, len(main))), strict=False):
        value = shown[setting.name]
        chosen = column.select_slider(
            escape_markdown(setting.name),
            sorted({*sliders.stops(setting, implementation, preset), value}),
            value=value,
            format_func=lambda number: f"{number:g}",
            help=_about(setting),
            key=f"slider-{implementation.name}-{preset}-{setting.name}-{value}",
        )
        texts[setting.name] = _to_text(chosen)
    return texts


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
    key = f"{implementation.name}-{preset}-{setting.name}"
    return str(st.text_input(setting.name, _to_text(value), help=_about(setting), key=key))


def _about(setting: Setting) -> str:
    words = filter(None, (setting.type, setting.range, setting.comment))
    return escape_markdown("; ".join(words))


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
