"""Measuring two ways to do the same work, one after the other in turns, and writing down what came out."""

import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fer_lib.models.describe import wait_for
from fer_lib.paths import write_atomically
from fer_lib.queue.pace import benchmark_path
from fer_lib.queue.train import environment
from fer_lib.runs import code_version

REPEATS = 5

Work = Callable[[int], Callable[[], None]]
"""Prepares a number of rounds of some work, and gives what does them."""


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most of some measurements."""
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def compare(
    ours: Work, other: Work, images: int, seconds: float, device: torch.device, name: str = "published"
) -> dict[str, Any]:
    """Time both ways in turns, so that whatever else the machine does falls on both.

    Args:
        ours: our way.
        other: the other.
        images: pictures in one round of either.
        seconds: how long to measure; each way gets as many rounds a repeat as fit.
        device: waited for before the clock is read.
        name: of the other way.

    Returns:
        Seconds per image of both ways and the ratio, the other's to ours, each as :func:`spread`, and the number of
        repeats.
    """
    share = seconds / (2 * REPEATS)
    prepared = [_prepare(work, share, device) for work in (ours, other)]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for (act, rounds), found in zip(prepared, times, strict=True):
            found.append(_clock(act, device) / (rounds * images))
    ratios = [theirs / own for own, theirs in zip(*times, strict=True)]
    return {
        "seconds_per_image": {"ours": spread(times[0]), name: spread(times[1])},
        "ratio": spread(ratios),
        "repeats": REPEATS,
    }


def _prepare(work: Work, seconds: float, device: torch.device) -> tuple[Callable[[], None], int]:
    once = work(1)
    once()  # libraries are loaded and their choices made
    rounds = max(1, round(seconds / _clock(once, device)))
    act = work(rounds)
    if device.type == "cuda":
        act()  # a prepared step is recorded on its first use
    return act, rounds


def _clock(act: Callable[[], object], device: torch.device) -> float:
    wait_for(device)
    started = time.perf_counter()
    act()
    wait_for(device)
    return time.perf_counter() - started


class Laps:
    """Splits a span of time at named marks; on a GPU the marks are events of its stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._marks: list[tuple[str, Any]] = []

    def mark(self, name: str) -> None:
        """What happened since the last mark was ``name``."""
        if self._device.type == "cuda":
            now: Any = torch.cuda.Event(enable_timing=True)
            now.record()
        else:
            wait_for(self._device)
            now = time.perf_counter()
        self._marks.append((name, now))

    def shares(self) -> dict[str, float]:
        """The share of each name in the time from the first to the last mark."""
        wait_for(self._device)
        spent: dict[str, float] = {}
        for (_, before), (name, after) in zip(self._marks, self._marks[1:], strict=False):
            length = before.elapsed_time(after) if self._device.type == "cuda" else after - before
            spent[name] = spent.get(name, 0.0) + length
        total = sum(spent.values())
        return {name: length / total for name, length in spent.items()}


def matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations per second of one large matrix product."""
    side, repeats = (8192, 10) if device.type == "cuda" else (1024, 3)
    a = torch.randn(side, side, device=device, dtype=dtype)
    torch.mm(a, a)
    times = [_clock(lambda: torch.mm(a, a), device) for _ in range(repeats)]
    return 2 * side**3 / statistics.median(times)


def write_report(results: Path, name: str, device: torch.device, rows: list[dict[str, Any]], **more: Any) -> Path:
    """Write what was measured to ``benchmarks/`` of the results folder, with what it was measured on."""
    versions = environment(device)
    content = {
        "benchmark": name,
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": versions,
        "threads": torch.get_num_threads(),
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else None,  # not on Windows
        "code": code_version(),
        **more,
        "rows": rows,
    }
    path = benchmark_path(results, name, versions["device"])
    path.parent.mkdir(parents=True, exist_ok=True)
    rounded = json.loads(json.dumps(content), parse_float=lambda text: float(f"{float(text):.4g}"))
    write_atomically(path, (json.dumps(rounded, indent=1) + "\n").encode())
    return path


def table(rows: list[dict[str, Any]]) -> str:
    """Rows for a reader: pictures a second of both ways, the ratio, and what else a row has."""
    width = max(len(row["what"]) for row in rows)
    (other,) = {name for row in rows for name in row["seconds_per_image"]} - {"ours"}
    lines = [f"{'':{width}}  ours, img/s  {f'{other}, img/s':>16}  ratio (least to most)"]
    for row in rows:
        ours, theirs = (1 / row["seconds_per_image"][way]["median"] for way in ("ours", other))
        ratio = row["ratio"]
        lines.append(
            f"{row['what']:{width}}  {ours:11,.1f}  {theirs:16,.1f}"
            f"  {ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        )
        if "tflops" in row:
            lines.append(
                f"{'':{width}}  {row['tflops']:.3g} TFLOP/s, {row['share_of_matmul']:.1%} of a large matrix product"
            )
        if "breakdown" in row:
            shares = ", ".join(f"{name} {share:.1%}" for name, share in row["breakdown"].items())
            lines.append(f"{'':{width}}  {shares}")
    return "\n".join(lines)
