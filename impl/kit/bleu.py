"""BLEU, the usual measure of a translation (Papineni et al., 2002)."""

import math
from collections import Counter

Pairs = list[tuple[list[int], list[int]]]  # translations and their references


def bleu(pairs: Pairs) -> float:
    """Of all pairs together, in percent.

    It is the geometric mean of the shares of right n-grams, of one to four words, with a penalty
    for what is too short.
    """
    right, written = [0] * 4, [0] * 4
    for ours, theirs in pairs:
        for n in range(1, 5):
            a, b = (Counter(zip(*(s[i:] for i in range(n)), strict=False)) for s in (ours, theirs))
            right[n - 1] += (a & b).total()
            written[n - 1] += a.total()
    if not all(right):
        return 0.0
    brevity = min(0.0, 1 - sum(len(theirs) for _, theirs in pairs) / written[0])
    precision = sum(math.log(a / b) for a, b in zip(right, written, strict=True)) / 4
    return 100 * math.exp(brevity + precision)
