"""Ladders: predecessor and successor on one task, with one budget of training FLOPs.

Each module is one ladder: `python -m impl.ladders.sequence`. A *rung* is the idea of a milestone.
"""
