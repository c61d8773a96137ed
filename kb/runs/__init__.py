"""Runs: their submission, their execution by the supervisor, and what they recorded."""
