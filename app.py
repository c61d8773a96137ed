"""The app's entry: the page list, nothing else. `kb serve` starts it."""

from ui import frame

frame.show()
