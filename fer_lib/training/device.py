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


def autocast_dtype(device: torch.device, precision: str | None = None) -> torch.dtype:
    """The type that a net is trained and used in.

    Args:
        device: where.
        precision: float32, bfloat16 or float16 by choice. None takes bfloat16 where the device multiplies it in
            hardware, else float16 on a GPU and float32 on anything else.

    Raises:
        UserError: the device cannot.
    """
    if precision is not None:
        if precision != "float32" and device.type not in ("cpu", "cuda"):
            raise UserError(f"precision {precision}: {device.type} trains in float32 only")
        return getattr(torch, precision)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    native = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if native else torch.float32


def precision_name(device: torch.device, precision: str | None = None) -> str:
    """:func:`autocast_dtype` as records have it."""
    return str(autocast_dtype(device, precision)).removeprefix("torch.")


def device_name(device: torch.device) -> str:
    """The device as its maker calls it, for the run record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
