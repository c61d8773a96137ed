"""Runs: `store` submits and reads them, `supervisor` executes them one by one, `worker` is the process that a run is."""
