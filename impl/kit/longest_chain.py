"""How much of a computation can't be done at the same time."""

from torch import Tensor


def longest_chain(y: Tensor) -> int:
    """How many operations of the graph that computed y wait for each other, one after the other."""
    if y.grad_fn is None:
        return 0
    length: dict[object, int] = {}
    stack = [y.grad_fn]
    while stack:
        node = stack[-1]
        inputs = [node for node, _ in node.next_functions if node is not None]
        if missing := [each for each in inputs if each not in length]:
            stack.extend(missing)
        else:
            length[node] = 1 + max((length[each] for each in inputs), default=0)
            stack.pop()
    return length[y.grad_fn]
