"""Benchmarks of what a person waits for, beside other programs in the same run: `make bench`."""
