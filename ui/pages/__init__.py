"""One module for each page, each with `show()` that draws it from the address it is at."""
