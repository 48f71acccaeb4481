"""Which device trains, and in which precision."""

import platform
import warnings
from pathlib import Path

import torch

from fer_lib.errors import UserError, unknown


def choose_device(name: str = "auto") -> torch.device:
    """Turn a device's name into a device that is there.

    Args:
        name: ``auto`` (a GPU if there is one that this torch can run, NVIDIA's or AMD's before Apple's), ``cpu``,
            ``cuda`` (the first such GPU), ``cuda:1`` or ``mps``.

    Raises:
        UserError: the name is unknown, this machine has no such device, or this torch cannot run it.
    """
    if name == "auto":
        if gpus := usable_gpus():
            return gpus[0]
        name = "mps" if torch.backends.mps.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not index.isdigit()):
        raise unknown("device", name, ("auto", "cpu", "cuda", "cuda:1", "mps"))
    if kind == "cuda":
        return _gpu(name, index)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("device 'mps': not available on this machine; use --device cpu")
    return torch.device(name)


def _gpu(name: str, index: str) -> torch.device:
    count = torch.cuda.device_count()
    if int(index or 0) >= count:
        raise UserError(f"device {name!r}: this machine has {count} CUDA devices; use --device cpu")
    if not index and (gpus := usable_gpus()):
        return gpus[0]
    gpu = torch.device("cuda", int(index or 0))
    if reason := why_unusable(gpu):
        raise UserError(f"device {name!r}: {reason}; use --device cpu, another GPU or another torch")
    return gpu


def usable_gpus() -> list[torch.device]:
    """The GPUs that this torch can run; a warning names each of the others, once."""
    found = []
    for index in range(torch.cuda.device_count()):
        gpu = torch.device("cuda", index)
        if reason := why_unusable(gpu):
            warnings.warn(f"{gpu} is passed over: {reason}", stacklevel=1)  # here, so that it is said once
        else:
            found.append(gpu)
    return found


def why_unusable(gpu: torch.device) -> str:
    """Why this torch cannot run a GPU; empty if it can.

    A GPU runs what was compiled for itself, for an earlier one of its generation (``sm_75``), or in a general form
    (``compute_75``) for any earlier one.
    """
    if not torch.cuda.is_initialized():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch says in eight lines what is said here
            torch.cuda.init()
    properties = torch.cuda.get_device_properties(gpu)
    made_for = torch.cuda.get_arch_list()
    if torch.version.cuda is None or not made_for:  # AMD's GPUs are counted otherwise
        return ""
    has = properties.major, properties.minor
    for name in made_for:
        kind, _, number = name.partition("_")
        runs = divmod(int(number.rstrip("af")), 10)
        if runs <= has and (kind == "compute" or runs[0] == has[0]):
            return ""
    return f"{properties.name} is sm_{has[0]}{has[1]}, for which this torch is not made ({' '.join(made_for)})"


def has_bfloat16(gpu: torch.device) -> bool:
    """Whether a GPU multiplies bfloat16 in hardware: NVIDIA's from the Ampere generation on do."""
    return torch.version.cuda is None or torch.cuda.get_device_properties(gpu).major >= 8


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
        return torch.bfloat16 if has_bfloat16(device) else torch.float16
    # A Mac's torch is built without oneDNN, which would know.
    asked = device.type == "cpu" and torch.backends.mkldnn.is_available()
    return torch.bfloat16 if asked and torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def precision_name(device: torch.device, precision: str | None = None) -> str:
    """:func:`autocast_dtype` as records have it."""
    return str(autocast_dtype(device, precision)).removeprefix("torch.")


def sum_dtype(device: torch.device) -> torch.dtype:
    """The type of long sums on a device: float64, which Apple's GPUs have not."""
    return torch.float32 if device.type == "mps" else torch.float64


def device_name(device: torch.device) -> str:
    """The device as its maker calls it, for the run record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU, {platform.machine()}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines() if cpuinfo.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return f"{model or platform.processor() or platform.machine()}, {torch.get_num_threads()} threads"
