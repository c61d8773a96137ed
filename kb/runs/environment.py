"""Describes the machine and the process of a run, as far as that needs no torch."""

import contextlib
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil


def describe_machine() -> dict[str, Any]:
    """The fields of a run's environment that don't depend on its device."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
    }


def processor_name() -> str:
    """The processor's name where the system has one, else its architecture."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        brand = subprocess.run(command, capture_output=True, text=True).stdout
        return brand.strip() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def nvidia_driver_version() -> str | None:
    """The version of the NVIDIA driver; None without one, and on other systems than Linux."""
    with contextlib.suppress(OSError):
        words = Path("/proc/driver/nvidia/version").read_text().split()
        return next((word for word in words if "." in word and word[0].isdigit()), None)
    return None


def resident_bytes() -> int:
    """How much memory this process has now."""
    return int(psutil.Process().memory_info().rss)


def measure_process(started: float) -> dict[str, float]:
    """What this process and its children have used since `started`, a time.monotonic()."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)  # the processes of its trials
    maxrss_unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(
            used.ru_utime + used.ru_stime + children.ru_utime + children.ru_stime, 3
        ),
        "peak_memory_bytes": max(used.ru_maxrss, children.ru_maxrss) * maxrss_unit,
    }
