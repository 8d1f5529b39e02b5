"""Where the figures come from."""

import os
import platform
import sys
from pathlib import Path


def description() -> str:
    """Processor, cores, kernel and interpreter in one line."""
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    return f"{_processor()}, {os.cpu_count()} cores; {system}; CPython {sys.version.split(' (')[0]}"


def load() -> str:
    """How busy the machine is: the load average of the last minute."""
    return f"{os.getloadavg()[0]:.2f}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or "unknown processor"
