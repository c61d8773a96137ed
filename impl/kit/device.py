"""Which device a run uses, and how many threads."""

import torch

BACKENDS = ("cuda", "mps", "xpu")


def available(backend: str) -> bool:
    module = getattr(torch, backend, None) or getattr(torch.backends, backend)
    return bool(module.is_available())


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`: cpu, cuda, cuda:1, mps, xpu, or auto for the first accelerator.

    Raises ValueError, saying which devices there are, if this machine hasn't got it.
    """
    # Small nets spend their time on starting operations, not in them: a second thread only waits,
    # and on a machine that is busy it waits long. Measured on two cores: 0.08 s a step with one
    # thread, 1.38 s with two beside another load.
    torch.set_num_threads(1)
    here = ["cpu", *(backend for backend in BACKENDS if available(backend))]
    if name == "auto":
        return torch.device(here[1] if len(here) > 1 else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"{name!r} is no device; use auto, or one of: {', '.join(here)}") from None
    if device.type not in here:
        raise ValueError(f"this machine has no {name}; use auto, or one of: {', '.join(here)}")
    if device.index and device.index >= torch.accelerator.device_count():
        raise ValueError(
            f"this machine has {torch.accelerator.device_count()} {device.type} devices, "
            f"numbered from 0"
        )
    return device
