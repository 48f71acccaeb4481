"""What an exported file says about itself, and what export refuses."""

import json

import onnx
import pytest

from fer_lib.models import create_model
from fer_lib.models.export import export_onnx

CLASSES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def test_the_file_describes_itself(tmp_path):
    net = create_model("microexpnet").train()
    preprocessing = {"mean": 0.5, "std": 0.25, "color": "grey"}
    provenance = {"recipe": "zhang/microexpnet/fer2013", "seed": 3, "commit": None}
    export_onnx(net, tmp_path / "net.onnx", 84, CLASSES, preprocessing, provenance)
    found = {entry.key: json.loads(entry.value) for entry in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert found == {"classes": CLASSES, "preprocessing": {"size": 84, **preprocessing}, "provenance": provenance}
    assert net.training
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_refuses_what_it_cannot_write(tmp_path):
    net = create_model("microexpnet")
    with pytest.raises(ValueError, match="classes must be 7 names: got 2"):
        export_onnx(net, tmp_path / "net.onnx", 84, CLASSES[:2], {}, {})
    with pytest.raises(ValueError, match="there is no folder"):
        export_onnx(net, tmp_path / "missing" / "net.onnx", 84, CLASSES, {}, {})
    with pytest.raises(ValueError, match="a folder, where the output needs a file"):
        export_onnx(net, tmp_path, 84, CLASSES, {}, {})
    with pytest.raises(ValueError, match=r"x must be \[B, 1, 84, 84\]"):
        export_onnx(net, tmp_path / "net.onnx", 48, CLASSES, {}, {})
    with pytest.raises(ValueError, match="has no graph to export"):
        export_onnx(create_model("hog_svm"), tmp_path / "net.onnx", 48, CLASSES, {}, {})
    assert not list(tmp_path.iterdir())
