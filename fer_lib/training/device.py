"""Which device trains, and in which precision."""

import platform
from pathlib import Path

import torch

from fer_lib.errors import UserError, unknown


def choose_device(name: str = "auto") -> torch.device:
    """Turn a device's name into a device that is there.

    Args:
        name: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    Raises:
        UserError: the name is unknown, or this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise unknown("device", name, ("auto", "cpu", "cuda", "cuda:1", "mps"))
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps': not available on this machine; use --device cpu")
    return torch.device(name)


def autocast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it in hardware, else float32."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def device_name(device: torch.device) -> str:
    """The device as its maker calls it, for the run record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
