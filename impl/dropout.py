"""Dropout: a simple way to prevent neural networks from overfitting. Srivastava et al., JMLR 15:1929-1958, 2014.

Claims      lower-test-error  fewer test errors than the same net without dropout (Tables 2 and 9)
            weight-scaling    one net with scaled weights stands for all the thinned nets (Sec. 4, Sec. 7.5)
            data-size         with very little data dropout does not help, with more it does (Sec. 7.4)
Deviations  1  both nets get the same settings but the rate, which each chooses on validation images
            2  torch's initialization, for both
            3  `quick` and `full` have two hidden layers and fewer updates
            4  data-size compares two sizes fixed beforehand, the smallest and `n`; the later fall is drawn, not judged
Left out    max-norm, pre-training, Gaussian multiplicative noise (Sec. 10), dropout in convolutional nets and RBMs
Shapes      B images, D pixels, H hidden units, C classes
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from impl.kit import Event, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.data import Images, handwriting
from impl.kit.figures import curves, sheets


@dataclass(frozen=True)
class Config:
    data: str = "mnist"  # Sec. 6.1.1; `auto` is MNIST where it can be had, else scikit-learn's digits
    n: int = 60_000  # Table 2: all training images
    sizes: tuple[int, ...] = (100, 500, 1_000, 5_000, 10_000, 50_000)  # Sec. 7.4
    layers: int = 3  # Table 2, the row "Dropout NN, ReLU"
    H: int = 1024  # same
    p_hidden: float = 0.5  # Sec. 6.1.1: probability of *keeping* a hidden unit
    p_input: float = 0.8  # Sec. 6.1.1: of keeping an input
    momentum: float = 0.95  # App. A.2: 0.95 to 0.99
    rates: tuple[float, ...] = (0.01, 0.03, 0.1)  # ours: each net takes the best of them on validation images
    batch: int = 100  # ours
    updates: int = 1_000_000  # App. B.1
    validation: int = 1_000  # ours: training images that no net is trained on
    seeds: int = 5  # ours: how many repetitions, each with its own training images
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, n=1_000, sizes=(100, 500, 1_000, 5_000, 20_000), layers=2, H=800, updates=1_500)
QUICK = replace(FULL, data="auto", sizes=(), H=256, rates=(0.03, 0.1), updates=600)
SMOKE = replace(QUICK, data="digits", n=200, sizes=(50, 200), H=16, updates=5, validation=100, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}


class Dropout(nn.Module):
    """Sec. 4: r ~ Bernoulli(p), y~ = r * y while training; at test time the weights out of a unit are multiplied by p.

    Scaling the outgoing weights by p is scaling the unit's output by p, which is what this does. (torch's own nn.Dropout
    divides by p while training instead, Sec. 10; and its argument is the probability of *dropping*.)
    """

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, y: Tensor) -> Tensor:
        if not self.training:
            return self.p * y
        r = torch.rand_like(y) < self.p  # one mask for each case in the mini-batch, Sec. 5.1
        return r * y


def net(cfg: Config, D: int, C: int, drop: bool) -> nn.Sequential:
    """[B, D] -> logits [B, C]; without dropout every unit is kept."""
    p_input, p_hidden = (cfg.p_input, cfg.p_hidden) if drop else (1.0, 1.0)
    modules: list[nn.Module] = [Dropout(p_input)]
    for width in [D, *[cfg.H] * (cfg.layers - 1)]:
        modules += [nn.Linear(width, cfg.H), nn.ReLU(), Dropout(p_hidden)]
    return nn.Sequential(*modules, nn.Linear(cfg.H, C))


def train(model: nn.Module, x: Tensor, y: Tensor, rate: float, cfg: Config) -> Iterator[tuple[int, float]]:
    """Sec. 5.1, by gradient descent with momentum; yields (update, loss) every now and then."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=cfg.momentum, fused=True)
    for step in range(1, cfg.updates + 1):
        model.train()
        at = torch.randint(len(x), (min(cfg.batch, len(x)),), device=x.device)
        loss = F.cross_entropy(model(x[at]), y[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % -(-cfg.updates // 12) == 0 or step == cfg.updates:
            yield step, loss.item()


@torch.no_grad()
def error(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Test error in percent, with the weights scaled."""
    model.eval()
    return 100 * float((model(x).argmax(1) != y).float().mean())


@torch.no_grad()
def sampled_error(model: nn.Module, x: Tensor, y: Tensor, k: int) -> float:
    """Sec. 7.5: test error in percent of the average prediction of k thinned nets."""
    model.train()
    mean = torch.stack([model(x).softmax(1) for _ in range(k)]).mean(0)
    return 100 * (mean.argmax(1) != y).float().mean().item()


def scaling_gap(D: int, C: int, p: float) -> float:
    """Sec. 7.5, for a softmax layer alone: how far weight scaling is from averaging *all* 2^D thinned nets.

    The average is geometric, renormalized. For one layer the two are equal: the mean of the logits is linear in the masks.
    """
    x, W, b = torch.randn(D).double(), torch.randn(C, D).double(), torch.randn(C).double()
    masks = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * D).reshape(-1, D).double()  # [2^D, D]
    chance = (p**masks * (1 - p) ** (1 - masks)).prod(1, keepdim=True)  # [2^D, 1]
    log_y = F.log_softmax((masks * x) @ W.T + b, dim=1)  # [2^D, C]
    averaged = F.softmax((chance * log_y).sum(0), dim=0)  # [C]
    return (averaged - F.softmax((p * x) @ W.T + b, dim=0)).abs().max().item()


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    data = handwriting(cfg.data).to(device)
    if data.name == "digits":  # 1,297 training images in all
        cfg = replace(cfg, validation=min(cfg.validation, 297), n=min(cfg.n, 1_000))
    spare = len(data.x_train) - cfg.validation
    sizes = sorted({min(size, spare) for size in (*cfg.sizes, cfg.n)})
    n = min(cfg.n, spare)
    total, done = len(sizes) * 2 * (len(cfg.rates) + cfg.seeds), 0

    for trial in range(10):
        torch.manual_seed(cfg.seed + trial)
        yield dict(measure="scaling", gap=scaling_gap(D=10, C=5, p=cfg.p_hidden))

    x_valid, y_valid = data.x_train[: cfg.validation].flatten(1), data.y_train[: cfg.validation]
    pictured: dict[str, Tensor] = {}
    for size in sizes:
        for name, drop in {"dropout": True, "standard": False}.items():
            scores = {}
            for rate in cfg.rates:
                yield Progress(done, total, f"{name}, {size} images: trying the rate {rate}")
                model, x, y = start(cfg, data, size, drop, seed=cfg.seed + 1_000_003)  # a seed used for nothing else
                for step, loss in train(model, x, y, rate, cfg):
                    yield dict(net=f"{name}, rate {rate}", n=size, step=step, loss_on_trial=loss)
                scores[rate] = error(model, x_valid, y_valid)
                done += 1
            rate = min(scores, key=lambda r: scores[r])
            yield dict(net=name, n=size, judged=size == n, rate=rate, data=data.name)
            for seed in range(cfg.seed, cfg.seed + cfg.seeds):
                model, x, y = start(cfg, data, size, drop, seed)
                for step, loss in train(model, x, y, rate, cfg):
                    yield Progress(done + step / cfg.updates, total, f"{name}, {size} images, seed {seed}")
                    mistakes = error(model, data.x_test.flatten(1), data.y_test)
                    yield dict(net=name, n=size, seed=seed, step=step, loss=loss, test_error=mistakes)
                done += 1
            if size == n:
                pictured[name] = features(model, data.x_train.shape[-1])
                if drop:
                    yield from thinned_nets(model, data)
    yield sheets("features", pictured, "What 64 first-layer units respond to, with and without dropout (as in Fig. 7)",
                 symmetric=True)  # fmt: skip
    yield Progress(total, total, "done")


def start(cfg: Config, data: Images, size: int, drop: bool, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A new net, and `size` training images: the seed draws both, the same for the two nets."""
    torch.manual_seed(seed)
    at = (cfg.validation + torch.randperm(len(data.x_train) - cfg.validation)[:size]).to(data.x_train.device)
    x, y = data.x_train[at].flatten(1), data.y_train[at]
    return net(cfg, x.shape[1], 10, drop).to(x.device), x, y


def thinned_nets(model: nn.Module, data: Images) -> Iterator[Event]:
    """Sec. 7.5, Fig. 11: how many thinned nets must be averaged to match the one with scaled weights."""
    x, y = data.x_test.flatten(1)[:2000], data.y_test[:2000]
    scaled = error(model, x, y)
    points = []
    for k in (1, 2, 5, 10, 20, 50):
        points.append((float(k), sampled_error(model, x, y, k)))
        yield dict(measure="thinned nets averaged", step=k, sampled_error=points[-1][1], scaled_error=scaled)
    lines = {"average of k thinned nets": points, "weight scaling": [(1.0, scaled), (50.0, scaled)]}
    yield curves("thinned-nets", lines, "Averaging thinned nets against scaling the weights once (as in Fig. 11)",
                 x="k, nets averaged", y="% test error")  # fmt: skip


def features(model: nn.Module, side: int) -> Tensor:
    """The first layer's weights of 64 units, [64, side, side]."""
    weight = next(m.weight for m in model.modules() if isinstance(m, nn.Linear))
    return weight[:64].detach().cpu().reshape(-1, side, side)


def check(rows: list[Row]) -> list[Verdict]:
    nets = [row for row in rows if "net" in row]
    n = next(int(row["n"]) for row in nets if row.get("judged"))
    small = min(int(row["n"]) for row in nets)
    return [
        compare(
            "lower-test-error",
            by_seed(nets, "test_error", net="dropout", n=n),
            by_seed(nets, "test_error", net="standard", n=n),
            better="lower",
            margin=0.25,  # Table 2: 1.60 to 1.35 %, the smallest gain it reports
            unit=f"% test error, {n} training images",
        ),
        exact(
            "weight-scaling",
            [float(row["gap"]) for row in rows if "gap" in row],
            0.0,
            tolerance=1e-9,
            unit="largest difference of a probability",
        ),
        compare(
            "data-size",
            gain(nets, n) if small < n else {},  # `quick` has one size: nothing to compare
            gain(nets, small),
            better="higher",
            margin=0.25,
            unit=f"points gained by dropout, {n} training images against {small if small < n else 'fewer'}",
        ),
    ]


def gain(rows: list[Row], n: int) -> dict[int, float]:
    """Points of test error that dropout saves with n training images, seed by seed."""
    dropout = by_seed(rows, "test_error", net="dropout", n=n)
    return {seed: e - dropout[seed] for seed, e in by_seed(rows, "test_error", net="standard", n=n).items()}


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
