"""A module for each page, with a function `show` that draws what the address names."""
