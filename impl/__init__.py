"""Reference implementations: one file is one paper.

`python -m impl.dropout --preset quick` runs one and judges its claims.
"""
