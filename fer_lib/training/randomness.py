"""Random numbers of a training: seeds, and the states that a checkpoint keeps."""

import hashlib
from contextlib import AbstractContextManager

import torch


def derive_seed(*parts: object) -> int:
    """A seed that depends on every part, and is unrelated for different parts."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def get_random(device: torch.device) -> dict[str, torch.Tensor]:
    """States of the default generators that a step on this device draws from."""
    random = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        random[device.type] = getattr(torch, device.type).get_rng_state(device)
    return random


def set_random(random: dict[str, torch.Tensor], device: torch.device) -> None:
    """Go back to the states of :func:`get_random`."""
    torch.set_rng_state(random["cpu"])
    if device.type in random and device.type != "cpu":
        getattr(torch, device.type).set_rng_state(random[device.type], device)


def undisturbed_random(device: torch.device) -> AbstractContextManager[None]:
    """Whatever is drawn inside, the draws after it are as if nothing had been."""
    return torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type)
