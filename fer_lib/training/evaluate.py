"""Class probabilities of pictures, with or without test-time views."""

import torch

from fer_lib.augment import test_views
from fer_lib.models.base import kept_modes
from fer_lib.parts import VIEWS, View
from fer_lib.training.forward import fast_forward


@torch.inference_mode()
def predict_probabilities(
    model: torch.nn.Module,
    images: torch.Tensor,
    view: View,
    *,
    views: str = "one",
    dtype: torch.dtype = torch.float32,
    batch_size: int = 256,
) -> torch.Tensor:
    """Average the softmax over the views of each picture.

    Args:
        model: a net whose logits are float [B, C]; its modes are restored afterwards.
        images: uint8 [N, H, W] on the model's device.
        view: what the net is shown of each.
        views: one, flip, five, ten or jitter, see :func:`fer_lib.augment.test_views`.
        dtype: autocast's type; float32 turns autocast off.
        batch_size: views at a time, so that more views of a picture take no more memory.

    Returns:
        float32 [N, C] on the same device.
    """
    chunks = []
    with kept_modes(model):
        model.eval()
        for batch in images.split(max(1, batch_size // VIEWS.get(views, 1))):
            shown = test_views(batch, views, *view)
            flat = shown.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            with fast_forward(images.device, dtype):
                logits = model(flat)
            chunks.append(logits.float().softmax(1).unflatten(0, shown.shape[:2]).mean(0))
    return torch.cat(chunks)
