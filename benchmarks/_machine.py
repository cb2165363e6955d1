"""The machine that a benchmark runs on, as its JSON names it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["machine"]

CPU_FACTS = Path("/proc/cpuinfo")
TELLING_INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_bf16", "amx_int8")
"""Those by which networks are several times faster, as Linux calls them."""


def machine(device: str = "", *, threads: int | None = None) -> dict[str, Any]:
    """What a rate goes by beside the code.

    Parameters
    ----------
    device : {'cpu', 'cuda'}, optional
        What PyTorch ran on; it is left out, with its version and its threads, where none is given.
    threads : int, optional
        How many were used; by default those of PyTorch.
    """
    facts = _cpu_facts()
    named = {
        "processor": facts.get("model name") or platform.processor() or platform.machine(),
        "instructions": sorted({*facts.get("flags", "").split()} & {*TELLING_INSTRUCTIONS}),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "numpy": np.__version__,
    }
    if device:
        import torch

        threads = threads or torch.get_num_threads()
        named["torch"] = torch.__version__
        named["device"] = torch.cuda.get_device_name() if device == "cuda" else device
    return named if threads is None else {**named, "threads": threads}


def _cpu_facts() -> dict[str, str]:
    """What Linux says of the first core; nothing elsewhere."""
    if not CPU_FACTS.exists():
        return {}
    lines = CPU_FACTS.read_text().partition("\n\n")[0].splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name.strip(): value.strip() for name, _, value in pairs}
