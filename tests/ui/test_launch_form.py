"""The form that starts a run: it says which values a setting may have, and queues no others."""

from sqlalchemy import Engine

from kb.runs import store
from tests.ui.pages import open_page


def test_a_setting_says_its_range_and_is_held_to_it(loaded: Engine) -> None:
    app = open_page("milestone", id="dropout")
    fields = {field.label: field for field in app.text_input}
    assert "1 to 10,000" in fields["seeds"].help
    assert "0 to 1" in next(s for s in app.select_slider if s.label == "momentum").help
    fields["seeds"].set_value("0")
    next(button for button in app.button if button.label == "Run").click()
    app.run()
    assert "seeds=0: give 1 to 10,000" in app.error[0].value.replace("\\", "")
    assert store.latest(loaded) == []
