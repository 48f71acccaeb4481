"""From a run's spec and a dataset to trained weights and predictions."""

from fer_lib.training.device import (
    autocast_dtype,
    choose_device,
    device_name,
    has_bfloat16,
    precision_name,
    usable_gpus,
    why_unusable,
)
from fer_lib.training.evaluate import predict_probabilities
from fer_lib.training.loop import Diverged, Outcome, Watch, first_step, fit
from fer_lib.training.stop import Interrupted, Stop

__all__ = [
    "Diverged",
    "Interrupted",
    "Outcome",
    "Stop",
    "Watch",
    "autocast_dtype",
    "choose_device",
    "device_name",
    "first_step",
    "fit",
    "has_bfloat16",
    "precision_name",
    "predict_probabilities",
    "usable_gpus",
    "why_unusable",
]
