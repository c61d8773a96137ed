"""The longer figures of implementations, each in a file of the same name; no mathematics."""
