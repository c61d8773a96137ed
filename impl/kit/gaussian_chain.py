"""A Markov chain of Gaussian steps x_{t-1} -> x_t, by numbers: nothing here knows a closed form.

A step is a function of x [N, 1], t [1] and noise [N, 1], linear in x and in the noise.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor, Tensor], Tensor]


def moments(step: Step, T: int, x0: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Mean and variance of x_1, ..., x_T from x_0 [1, 1], by one step after the other."""
    zero, one = torch.zeros_like(x0), torch.ones_like(x0)
    mean, variance = x0, zero
    for number in range(1, T + 1):
        t = torch.full((1,), number, device=x0.device)
        mean = step(mean, t, zero)
        variance = step(variance.sqrt(), t, zero).square() + step(zero, t, one).square()
        yield mean, variance


def bayes(
    prior: Tensor, prior_std: Tensor, step: Step, t: Tensor, x: Tensor
) -> tuple[float, float]:
    """Mean and standard deviation of x_{t-1}, given x_t = x [1, 1] and the Gaussian that x_{t-1}
    comes from: prior times likelihood, summed up over a fine grid from -6 to 6."""
    grid = torch.linspace(-6, 6, 24_001, dtype=x.dtype, device=x.device)[:, None]
    std = step(torch.zeros_like(x), t, torch.ones_like(x))
    log_prior = -((grid - prior) / prior_std).square() / 2
    log_likelihood = -((x - step(grid, t, torch.zeros_like(grid))) / std).square() / 2
    p = (log_prior + log_likelihood).softmax(0)
    mean = (p * grid).sum()
    return float(mean), float((p * (grid - mean).square()).sum().sqrt())


def marginal_gap(step: Step, at_once: Step, T: int, like: Tensor) -> float:
    """Between mean and variance of x_t after t steps in turn, from 1, and after all at once: the
    largest difference. `like` has the type of numbers and the device."""
    one, t = torch.ones(T, 1).to(like), torch.arange(1, T + 1, device=like.device)
    in_turn = torch.tensor(list(moments(step, T, one[:1]))).to(one)
    told = [at_once(one, t, 0 * one), at_once(0 * one, t, one).square()]
    return float((in_turn - torch.cat(told, 1)).abs().max())


def posterior_gap(
    step: Step,
    at_once: Step,
    posterior: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]],
    T: int,
    like: Tensor,
) -> float:
    """Between the posterior that is told, from x_0, x_t and t, and Bayes by numbers: the largest
    difference of mean or standard deviation."""
    one, gap = torch.ones(1, 1).to(like), 0.0
    x0, x = 0.7 * one, -0.4 * one
    for number in {2, 1 + T // 4, 1 + T // 2, T}:
        t = torch.full((1,), number, device=like.device)
        prior = at_once(x0, t - 1, 0 * one), at_once(0 * one, t - 1, one)
        (mean, std), (told, variance) = bayes(*prior, step, t, x), posterior(x0, x, t)
        gap = max(gap, abs(mean - float(told)), abs(std - float(variance.sqrt())))
    return gap
