"""Finding structure in time. Elman, Cognitive Science 14:179-211, 1990.

Claims      third-bit          in a stream of two random bits and their XOR, the error is lower at every third bit (Fig. 3)
            context            there it is lower than that of the same net without context units
            xor-everywhere     it follows the XOR rule also where that can't succeed, at the other two bits ("Exclusive-OR")
            same-as-torch-rnn  the net's hidden layer is torch.nn.RNN with other weights, exactly
Deviations  1  except in `paper` the stream is cut into `streams` pieces that are read side by side; each update averages them
            2  momentum, range of the first weights and rates to choose from are ours; each net takes its best rate
            3  the net without context units is ours: its context stays at 1/2
            4  the last is ours, too: torch's units are tanh, Elman's logistic, and a change of variables makes them equal
Left out    letters (ba, dii, guuu), words, and the classes of words that the hidden units discover
Shapes      N nets, B streams, T bits, H hidden units and as many context units
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from impl.kit import Event, Figure, Progress, Row, Verdict, by_seed, compare, exact, main
from impl.kit.figures import canvas, figure

BLIND = {
    "third": 1 / 9,
    "others": 5 / 18,
}  # the least errors of a net that knows the last two bits and not which are due


@dataclass(frozen=True)
class Config:
    bits: int = 3_000  # "Exclusive-OR": length of the training sequence
    passes: int = 600  # same: how often it is read
    H: int = 2  # same: hidden units, and context units
    streams: int = 1  # same: one bit after the other
    momentum: float = 0.9  # ours
    init: float = 1.0  # ours: first weights are uniform between -init and init
    rates: tuple[float, ...] = (0.1, 0.3, 1.0)  # ours: each net takes the best of them on other sequences
    tuning_seeds: int = 5  # ours: nets for choosing the rate, used for nothing else
    dozens: int = 1_200  # Fig. 3: how often 12 bits are averaged; ours: in a new sequence
    seeds: int = 20  # ours
    seed: int = 0  # ours: the first of them


PAPER = Config()
FULL = replace(PAPER, streams=10)
QUICK = replace(PAPER, streams=50)
SMOKE = replace(QUICK, bits=300, streams=10, passes=10, rates=(0.3, 1.0), tuning_seeds=2, dozens=100, seeds=2)
PRESETS = {"smoke": SMOKE, "quick": QUICK, "full": FULL, "paper": PAPER}

START = 0.5  # as in the paper: what the context units hold before the first bit


class Nets:
    """N nets of one shape, side by side. Some have no context units: theirs are held at 1/2, where they say nothing."""

    def __init__(self, H: int, seeds: list[int], context: list[bool], init: float, device: torch.device):
        shapes = [(1, H), (H, H), (1, H), (H, 1), (1, 1)]
        drawn = []
        for seed in seeds:
            torch.manual_seed(seed)
            drawn.append([torch.empty(shape).uniform_(-init, init) for shape in shapes])
        self.weights = [torch.stack(same).to(device) for same in zip(*drawn, strict=True)]  # each [N, ., .]
        self.context = torch.tensor(context, device=device)[:, None, None]  # [N, 1, 1]

    def start(self, B: int) -> Tensor:
        N, H, _ = self.weights[1].shape
        return torch.full((N, B, H), START, device=self.context.device)

    def forward(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One bit, [N, B, 1]: hidden units [N, B, H] and the prediction of the next bit, [N, B, 1]."""
        W, U, b, V, a = self.weights
        h = torch.sigmoid(x * W + torch.baddbmm(b, c, U))
        return h, torch.sigmoid(torch.baddbmm(a, h, V))

    def backward(self, x: Tensor, c: Tensor, h: Tensor, y: Tensor, target: Tensor) -> list[Tensor]:
        """Gradient of (y - target)^2 / 2, mean over the streams. The copy c counts as an input: nothing goes further back."""
        _, _, _, V, _ = self.weights
        dy = (y - target) * y * (1 - y) / x.shape[1]  # [N, B, 1]
        dh = dy * V.mT * h * (1 - h)  # [N, B, H]
        return [x.mT @ dh, c.mT @ dh, dh.sum(1, True), h.mT @ dy, dy.sum(1, True)]

    def copy(self, h: Tensor) -> Tensor:
        """What the context units hold for the next bit: the hidden units, one for one."""
        return torch.where(self.context, h, START)


def sequences(seeds: list[int], streams: int, bits: int, device: torch.device) -> Tensor:
    """For each seed, `streams` pieces of two random bits and their XOR, over and over, [N, B, T]."""
    drawn = []
    for seed in seeds:
        torch.manual_seed(seed)
        ab = torch.randint(2, (streams, bits // streams // 3, 2))
        drawn.append(torch.cat([ab, ab[..., :1] ^ ab[..., 1:]], dim=2).flatten(1))
    return torch.stack(drawn).float().to(device)


def test_sequences(seeds: list[int], cfg: Config, device: torch.device) -> Tensor:
    """New ones, in 20 pieces of whole dozens."""
    return sequences([seed + 500_000 for seed in seeds], 20, 240 * -(-cfg.dozens // 20), device)


def train(nets: Nets, z: Tensor, rates: Tensor, cfg: Config) -> Iterator[int]:
    """Gradient descent with momentum, one update a bit; yields the number of passes made."""
    momenta = [torch.zeros_like(w) for w in nets.weights]
    targets = z.roll(-1, 2)  # the next bit; after the last the sequence begins again
    c = nets.start(z.shape[1])
    for done in range(1, cfg.passes + 1):
        for x, target in zip(z.split(1, 2), targets.split(1, 2), strict=True):  # [N, B, 1] each
            h, y = nets.forward(x, c)
            for w, m, slope in zip(nets.weights, momenta, nets.backward(x, c, h, y, target), strict=True):
                m.mul_(cfg.momentum).sub_(rates * slope)
                w.add_(m)
            c = nets.copy(h)
        yield done


def predictions(nets: Nets, z: Tensor) -> Tensor:
    """What was expected at each bit of z, [N, B, T]; at the first, what follows the last, as z wraps around."""
    c, expected = nets.start(z.shape[1]), []
    for x in z.split(1, 2):
        h, y = nets.forward(x, c)
        expected.append(y)
        c = nets.copy(h)
    return torch.cat(expected, 2).roll(1, 2)


def of_twelve(values: Tensor) -> Tensor:
    """[N, B, T] to means over bit 0 to 11 of each dozen, [N, 12]; bits 2, 5, 8 and 11 are the XOR of the two before."""
    return torch.reshape(values.mean(1), (len(values), -1, 12)).mean(1)


def split(values: Tensor) -> tuple[Tensor, Tensor]:
    """[N, 12] to the mean of every third bit and of the others, [N] each."""
    thirds = torch.reshape(values, (len(values), 4, 3)).mean(1)
    return thirds[:, 2], thirds[:, :2].mean(1)


def errors(nets: Nets, z: Tensor) -> Tensor:
    """Mean squared error of predicting each of 12 bits, [N, 12]."""
    return of_twelve((predictions(nets, z) - z).square())


def follows_xor(nets: Nets, z: Tensor) -> Tensor:
    """How often the likelier bit, according to the net, is the XOR of the two before, at each of 12 bits, [N, 12]."""
    xor = z.roll(1, 2) != z.roll(2, 2)
    return of_twelve(((predictions(nets, z) > 0.5) == xor).float())


def as_torch_rnn(nets: Nets, at: int) -> nn.RNN:
    """torch's own layer, with the weights that make it this net's hidden layer.

    sigma(u) = (1 + tanh(u/2)) / 2, so with h = (1 + k) / 2 the recurrence in k has tanh units, and h = 1/2 is k = 0.
    """
    W, U, b, _, _ = (w[at].cpu().double() for w in nets.weights)
    H = len(U)
    rnn = nn.RNN(1, H, batch_first=True, dtype=torch.float64)
    bias = b[0] / 2 + U.sum(0) / 4
    rnn.load_state_dict(
        {"weight_ih_l0": W.T / 2, "weight_hh_l0": U.T / 4, "bias_ih_l0": bias, "bias_hh_l0": torch.zeros_like(bias)}
    )
    return rnn


@torch.no_grad()
def torch_gap(nets: Nets, at: int, z: Tensor) -> float:
    """Largest difference between our hidden units and torch's over bits z, [T], in double precision."""
    W, U, b, _, _ = (w[at].cpu().double() for w in nets.weights)
    z = z.cpu().double()
    h, ours = torch.full((1, len(U)), START, dtype=torch.float64), []
    for x in z:
        h = torch.sigmoid(x * W + h @ U + b)
        ours.append(h)
    theirs = (1 + as_torch_rnn(nets, at)(z[None, :, None])[0][0]) / 2
    return float((torch.cat(ours) - theirs).abs().max())


def run(cfg: Config, device: torch.device) -> Iterator[Event]:
    kinds = {"context": True, "no context": False}
    pairs = [(name, seed) for name in kinds for seed in range(cfg.seed, cfg.seed + cfg.seeds)]
    seeds = [seed for _, seed in pairs]
    nets = Nets(cfg.H, seeds, [kinds[name] for name, _ in pairs], cfg.init, device)
    test = test_sequences(seeds, cfg, device)
    before = states(nets, 0, test[0, 0])
    for (name, seed), e in zip(pairs, errors(nets, test[:, :, :60]), strict=True):
        third, others = split(e[None])
        yield dict(net=name, seed=seed, step=0, third_bit=float(third), other_bits=float(others))

    total = 2.0 * cfg.passes
    rates: dict[str, float] = {}
    trials = [(n, r, cfg.seed + 1_000_003 + s) for n in kinds for r in cfg.rates for s in range(cfg.tuning_seeds)]
    tuned = Nets(cfg.H, [s for _, _, s in trials], [kinds[n] for n, _, _ in trials], cfg.init, device)
    z = sequences([s for _, _, s in trials], cfg.streams, cfg.bits, device)
    for done in train(tuned, z, column([r for _, r, _ in trials], device), cfg):
        yield Progress(done, total, "choosing the rates")
    third, others = split(errors(tuned, test_sequences([s for _, _, s in trials], cfg, device)))
    whole = (
        (third + 2 * others).cpu().view(len(kinds), len(cfg.rates), cfg.tuning_seeds).mean(2)
    )  # what training lowers
    for name, score in zip(kinds, whole, strict=True):
        rates[name] = cfg.rates[int(score.argmin())]
        yield dict(net=name, rate=rates[name])

    every = -(-cfg.passes // 30)
    for done in train(
        nets, sequences(seeds, cfg.streams, cfg.bits, device), column([rates[n] for n, _ in pairs], device), cfg
    ):
        yield Progress(cfg.passes + done, total, f"{len(pairs)} nets, {done} passes")
        if done % every == 0 or done == cfg.passes:
            brief = test if done == cfg.passes else test[:, :, :60]
            third, others = split(errors(nets, brief))
            for (name, seed), e3, e12 in zip(pairs, third.tolist(), others.tolist(), strict=True):
                yield dict(net=name, seed=seed, step=done, third_bit=e3, other_bits=e12)
    _, others = split(follows_xor(nets, test))
    for (name, seed), share in zip(pairs, others.tolist(), strict=True):
        yield dict(net=name, seed=seed, xor_at_others=share)
    for at, seed in enumerate(seeds[: cfg.seeds]):
        yield dict(net="context", seed=seed, torch_gap=torch_gap(nets, at, test[at, 0, :300]))
    yield twelve_bits(errors(nets, test).view(len(kinds), cfg.seeds, 12).cpu(), list(kinds))
    yield hidden_units({"before learning": before, "after": states(nets, 0, test[0, 0])}, test[0, 0].cpu(), nets)
    yield Progress(total, total, "done")


def column(values: list[float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)[:, None, None]


def states(nets: Nets, at: int, z: Tensor) -> Tensor:
    """The first two hidden units of one net after each bit of z, [T, 2]."""
    c, seen = nets.start(1), []
    for x in z:
        h, _ = nets.forward(x.expand(len(c), 1, 1), c)
        seen.append(h[at, 0, :2])
        c = nets.copy(h)
    return torch.stack(seen).cpu()


def twelve_bits(error: Tensor, kinds: list[str]) -> Figure:
    """As in the paper's figure: the error over 12 bits, [2, seeds, 12]."""
    drawn, ax = canvas()
    t = range(1, 13)
    for name, e in zip(kinds, error, strict=True):
        (line,) = ax.plot(t, e.mean(0), marker="o", markersize=3, label=name)
        ax.fill_between(t, e.amin(0), e.amax(0), color=line.get_color(), alpha=0.15, linewidth=0)
    ax.plot(t, [BLIND["third"] if i % 3 == 0 else BLIND["others"] for i in t], "_", ms=14, color="#2f9e77",
            label="best without knowing which bits are due")  # fmt: skip
    ax.set(
        xlabel="bit (every third is the XOR of the two before)", ylabel="mean squared error", ylim=(0, None), xticks=t
    )
    ax.legend(loc="lower left", fontsize=8)
    caption = "Error of predicting each of 12 bits: mean, least and greatest of the seeds"
    return figure("twelve-bits", drawn, caption)


def hidden_units(panels: dict[str, Tensor], z: Tensor, nets: Nets) -> Figure:
    """Where the two hidden units are after each bit, by the last two bits, and the line where the prediction turns."""
    drawn, axes = canvas(1, len(panels), width=7.0, height=3.6)
    last = 2 * z.roll(1) + z
    _, _, _, V, a = (w[0].cpu() for w in nets.weights)
    for ax, (title, h) in zip(axes, panels.items(), strict=True):
        for code, colour in enumerate(("#3b82c4", "#e07b39", "#d1495b", "#2f9e77")):
            at = (last == code).nonzero().flatten()[1:]
            ax.scatter(h[at, 0], h[at, 1], s=9, alpha=0.5, color=colour, label=f"last two bits {code:02b}")
        ax.set(title=title, xlabel="hidden unit 1", ylabel="hidden unit 2", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    edge = torch.tensor([-0.1, 1.1])
    axes[-1].plot(edge, -(V[0] * edge + a[0]) / V[1], color="#808792", linestyle="--", label="prediction 1/2")
    axes[-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure(
        "hidden-units", drawn, "What the context holds after each bit: on one side of the line the net expects a 1"
    )


def check(rows: list[Row]) -> list[Verdict]:
    third = by_seed(rows, "third_bit", net="context")
    margin = 0.05  # ours: a fifth of 1/4, the error of always answering 1/2
    return [
        compare(
            "third-bit",
            third,
            by_seed(rows, "other_bits", net="context"),
            better="lower",
            margin=margin,
            unit="mean squared error, third bits against the others",
        ),
        compare(
            "context",
            third,
            by_seed(rows, "third_bit", net="no context"),
            better="lower",
            margin=margin,
            unit="mean squared error at every third bit",
        ),
        compare(
            "xor-everywhere",
            by_seed(rows, "xor_at_others", net="context"),
            by_seed(rows, "xor_at_others", net="no context"),
            better="higher",
            margin=0.25,  # ours: half of the way from chance to always
            unit="share of the random bits where the XOR of the two before is expected",
        ),
        exact(
            "same-as-torch-rnn",
            [float(row["torch_gap"]) for row in rows if "torch_gap" in row],
            0.0,
            tolerance=1e-9,
            unit="largest difference of a hidden unit",
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PRESETS, run, check))
