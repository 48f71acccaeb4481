"""ONNX export: one file that says what pictures it wants and what its outputs mean."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim, ExportedProgram
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fer_lib.errors import UserError
from fer_lib.extras import from_extra
from fer_lib.models.base import Classifier, kept_modes
from fer_lib.paths import check_output, write_atomically

OPSET = 20


def export_onnx(
    model: Classifier,
    path: str | Path,
    size: int,
    classes: Sequence[str],
    preprocessing: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> None:
    """Write a net as an ONNX file of any batch size.

    The graph takes ``pictures``, float32 [B, in_channels, size, size] after the preprocessing, and gives
    ``logits``, float32 [B, len(classes)]. The file's metadata hold the three descriptions as JSON under
    ``preprocessing``, ``classes`` and ``provenance``.

    Args:
        model: a net of :func:`fer_lib.models.create_model`; its mode is restored afterwards.
        path: the file to write; an interrupted export leaves none.
        size: height and width of the pictures in pixels.
        classes: class names in the order of the logits.
        preprocessing: what brings a picture to the net's input, such as mean and standard deviation.
        provenance: where the weights come from, such as recipe, seed and commit.

    Raises:
        UserError: ``classes`` or ``size`` does not fit the net, the model is a classical one, ``path`` cannot be
            written to, or onnx and onnxscript are not installed.
    """
    if not isinstance(model, Classifier):
        raise UserError(f"model must be a net of create_model: {type(model).__name__} has no graph to export")
    if len(classes) != model.num_classes:
        raise UserError(f"classes must be {model.num_classes} names: got {len(classes)}")
    path = Path(path)
    check_output(path)
    with from_extra("onnx"):
        import onnx
        import onnxscript  # noqa: F401
    # A batch of two: a dimension of one would be taken for a constant.
    device = next(model.parameters()).device
    pictures = torch.zeros(2, model.in_channels, size, size, device=device)
    model.check_input(pictures)
    with kept_modes(model):
        model.eval()
        exported = torch.export.export(model, (pictures,), dynamic_shapes=({0: Dim("batch", min=1, max=2**16)},))
    _fold_batch_norms(exported)
    program = torch.onnx.export(
        exported,
        dynamo=True,
        input_names=["pictures"],
        output_names=["logits"],
        opset_version=OPSET,
        verbose=False,
    )
    assert program, "the exporter gives a program or raises"
    metadata = {"preprocessing": {"size": size, **preprocessing}, "classes": list(classes)}
    for key, value in {**metadata, "provenance": dict(provenance)}.items():
        program.model.metadata_props[key] = json.dumps(value)
    content = program.model_proto.SerializeToString()
    onnx.checker.check_model(content)
    write_atomically(path, content)


def _fold_batch_norms(exported: ExportedProgram) -> None:
    """Give convolutions, in place, the scale and shift of the batch normalisations that follow them.

    The ONNX exporter does this too, but last, and its time goes by the nodes that it is given.
    """
    aten, tensors, signature = torch.ops.aten, exported.state_dict, exported.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    for norm in exported.graph.find_nodes(op="call_function", target=aten.batch_norm.default):
        convolution, scale, shift, mean, variance = norm.args[:5]
        if convolution.target is not aten.conv2d.default:
            continue
        x, weight, *options = convolution.args
        bias = options[0] if options else None
        # What something else reads as well, such as the layers that iAFF passes twice, stays as it is.
        if any(len(node.users) > 1 for node in (convolution, weight, shift)):
            continue
        found: list[Any] = [node and tensors[names[node.name]] for node in (weight, bias, mean, variance, scale, shift)]
        w, b, m, v, gamma, beta = found
        # The bias of the normalisation becomes that of the convolution.
        tensors[names[weight.name]], tensors[names[shift.name]] = fuse_conv_bn_weights(
            w, b, m, v, norm.args[7], gamma, beta
        )
        convolution.args = (x, weight, shift, *options[1:])
        norm.replace_all_uses_with(convolution)
        exported.graph.erase_node(norm)
