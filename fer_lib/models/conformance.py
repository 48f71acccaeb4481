"""Does an attention module do what a net, a GPU and an exporter ask of it? A line for each demand."""

import copy
import operator
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fer_lib.errors import UserError, first_line
from fer_lib.extras import MissingExtra, from_extra
from fer_lib.models.base import Classifier
from fer_lib.models.describe import count_parameters, meta_net
from fer_lib.models.export import export_onnx
from fer_lib.models.grammar import MODULES
from fer_lib.models.registry import create_model

CHANNELS = 64
SIDES = ((12, 12), (6, 6), (7, 5), (1, 1))
"""Heights and widths of maps: of a net's stages, unequal and odd, and the smallest."""
WIDTH, PIXELS = 16, 24
"""Of the net that is built around the module."""


class Finding(NamedTuple):
    """One demand: whether the module meets it, None where that could not be tried, and what was seen."""

    name: str
    met: bool | None
    seen: str

    def __str__(self) -> str:
        return f"{ {True: 'ok', False: 'FAULT', None: 'not tried'}[self.met]:10}{self.name:15}{self.seen}"


def check_block(name: str, model: str, options: dict[str, Any] | None = None) -> Iterator[Finding]:
    """Try a block, alone and in a net.

    Args:
        name: of the block.
        model: the net that holds it, such as ``resnet18_se``.
        options: the block's.

    Yields:
        A finding for each demand, as soon as it is known.
    """
    options = options or {}
    demands: tuple[tuple[str, Callable[[nn.Module], str]], ...] = (
        ("shapes", _shapes), ("batch of one", _batch_of_one), ("channels last", _channels_last),
        ("bfloat16", _bfloat16), ("gradient", _gradient),
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for demand, act in demands:
            yield _try(demand, partial(_alone, act, name, options))
        yield _try("counting", lambda: _counting(name, model, options))
        yield _try("ONNX export", lambda: _export(name, model, options))


def _alone(act: Callable[[nn.Module], str], name: str, options: dict[str, Any]) -> str:
    return act(MODULES[name](CHANNELS, **copy.deepcopy(options)))


def _try(name: str, act: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, act())
    except MissingExtra as error:
        return Finding(name, None, str(error))
    except Exception as error:  # whatever somebody's module raises
        return Finding(name, False, first_line(error))


def _maps(batch: int = 4, height: int = 6, width: int = 6) -> Tensor:
    return torch.randn(batch, CHANNELS, height, width)


def _demand(condition: bool, fault: str) -> None:
    if not condition:
        raise UserError(fault)


def _close(found: Tensor, wanted: Tensor, within: float, what: str) -> float:
    """The largest difference, as a share of the largest value."""
    difference = ((found.float() - wanted.float()).abs().max() / wanted.float().abs().max().clamp(min=1e-6)).item()
    _demand(difference <= within, f"{what} differ by {difference:.1e} of the largest value")
    return difference


@torch.no_grad()
def _shapes(block: nn.Module) -> str:
    for training in (True, False):
        block.train(training)
        for height, width in SIDES:
            x = _maps(4, height, width)
            kept, out = x.clone(), block(x)
            _demand(isinstance(out, Tensor), f"puts out {type(out).__name__}, no tensor")
            _demand(out.shape == x.shape, f"{list(x.shape)} becomes {list(out.shape)}")
            _demand(out.dtype == x.dtype, f"{x.dtype} becomes {out.dtype}")
            _demand(bool(out.isfinite().all()), f"not finite on a map of {height} x {width}")
            _demand(torch.equal(x, kept), "changes its input in place")
    return ", ".join(f"{height}x{width}" for height, width in SIDES) + f" with {CHANNELS} channels are kept"


@torch.no_grad()
def _batch_of_one(block: nn.Module) -> str:
    x = _maps()
    difference = _close(block.eval()(x[:1]), block(x)[:1], 1e-4, "a picture alone and in a batch")
    return f"a picture alone and in a batch: within {difference:.0e}"


@torch.no_grad()
def _channels_last(block: nn.Module) -> str:
    x = _maps()
    other = block.eval().to(memory_format=torch.channels_last)(x.contiguous(memory_format=torch.channels_last))
    return f"both orders in memory: within {_close(other, block(x), 1e-4, 'both orders in memory'):.0e}"


@torch.no_grad()
def _bfloat16(block: nn.Module) -> str:
    x = _maps()
    wanted = block.eval()(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = block(x.bfloat16())
    _demand(found.is_floating_point() and bool(found.isfinite().all()), "not finite")
    return f"within {_close(found, wanted, 0.1, 'bfloat16 and float32'):.0e} of float32"


def _gradient(block: nn.Module) -> str:
    """Every weight gets one, and the input's is what small steps say."""
    block.train()(_maps()).square().mean().backward()
    missing = [name for name, p in block.named_parameters() if p.requires_grad and p.grad is None]
    _demand(not missing, f"none reaches {', '.join(missing)}")
    bad = [name for name, p in block.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]
    _demand(not bad, f"not finite: {', '.join(bad)}")
    block = block.double().eval()
    x, step = _maps().double().requires_grad_(), torch.randn(4, CHANNELS, 6, 6).double()
    weights = torch.randn_like(step)
    (gradient,) = torch.autograd.grad((block(x) * weights).sum(), x)
    size = 1e-6
    with torch.no_grad():
        ends = [(block(x + sign * size * step) * weights).sum() for sign in (1, -1)]
    by_steps, said = ((ends[0] - ends[1]) / (2 * size)).item(), (gradient * step).sum().item()
    _demand(
        abs(by_steps - said) <= 1e-3 * max(abs(by_steps), 1), f"says {said:.4g} where small steps say {by_steps:.4g}"
    )
    return f"reaches {sum(1 for _ in block.parameters())} weights and the input, and small steps agree"


def _net_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    return {"width": WIDTH, "layers": (1, 1, 1, 1)} | ({name: options} if options else {})


def _counting(name: str, model: str, options: dict[str, Any]) -> str:
    """A net is counted on PyTorch's meta device, where tensors have no values."""
    of_net = _net_options(name, options)
    plain = "_".join(word for word in model.split("_") if word not in (name, "ends"))
    without = {key: value for key, value in of_net.items() if key != name}
    nets = filter(None, (meta_net(model, **of_net), meta_net(plain, **without)))
    added = operator.sub(*map(count_parameters, nets))
    return f"{added:,} weights in a {plain} of width {WIDTH} with one block a stage"


def _export(name: str, model: str, options: dict[str, Any]) -> str:
    with from_extra("onnx"):
        import onnxruntime
    net = create_model(model, **_net_options(name, options)).eval()
    assert isinstance(net, Classifier)
    x = torch.rand(3, 1, PIXELS, PIXELS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.onnx")
        export_onnx(net, path, PIXELS, [str(i) for i in range(net.num_classes)], {}, {})
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(["logits"], {"pictures": x.numpy()})[0])
    with torch.no_grad():
        difference = _close(found, net(x), 1e-3, "ONNX Runtime and PyTorch")
    return f"ONNX Runtime within {difference:.0e} of PyTorch"
