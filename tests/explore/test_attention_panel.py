"""What modules do to a face, for a reader: which weight files serve, the figure, the numbers, and one's own picture."""

import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from fer_lib.checkpoints import write_checkpoint
from fer_lib.data import synthetic
from fer_lib.demo.example import example_picture
from fer_lib.errors import UserError
from fer_lib.explore import attention
from fer_lib.explore.attention import (
    attention_figure,
    attention_panel,
    maps_of,
    nets_with_attention,
    some_faces,
    spread_table,
)
from fer_lib.queue.train import train_run
from fer_lib.recipe import RunSpec
from tests.tiny import tiny_dataset, tiny_recipe


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    """Weight files of a net with CBAM at both ends and of one without, trained for moments on drawn faces."""
    results = tmp_path_factory.mktemp("weights")
    for name, model, width in (("plain", "resnet18", 8), ("cbam", "resnet18_cbam_ends", 16)):
        options = {"width": width, "layers": [1, 1, 1, 1]}
        spec = RunSpec(tiny_recipe(epochs=1, model=model, model_options=options))
        record = train_run(spec, results=results, device="cpu", say=lambda line: None, dataset=tiny_dataset())
        write_checkpoint(record, name, results / "checkpoints")
    return nets_with_attention([results / "checkpoints", results / "nowhere"])


@pytest.fixture(scope="module")
def faces():
    return some_faces(synthetic(train=0, val=0, test=35), ["happy", "sad"])


def test_nets_without_attention_are_left_out(nets, faces):
    assert list(nets) == ["cbam"]
    assert faces[1] == ["happy", "sad"]
    assert faces[0].shape == (2, 48, 48)


def test_a_row_for_each_module_and_a_column_for_each_face(nets, faces):
    figure = attention_figure(nets["cbam"], *faces)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert [text.split("\n")[1] for text in words[1:]] == ["ChannelAttention, channel", "SpatialAttention, place"] * 2
    assert len(figure.axes) == 5 * 3
    line = figure.axes[4].lines[0].get_ydata()
    np.testing.assert_array_equal(line, maps_of(nets["cbam"], faces[0])[0].weights[0, :, 0, 0])


def test_the_spread_says_what_depends_on_the_picture(nets, faces):
    maps = maps_of(nets["cbam"], faces[0])
    table = spread_table(maps)
    assert table["weights"].tolist() == ["channel", "place"] * 2
    assert table["sd between places"].isna().tolist() == [True, False] * 2
    assert table["sd between channels"].isna().tolist() == [False, True] * 2
    assert table["mean"][0] == pytest.approx(maps[0].weights.mean())
    alike = spread_table(maps_of(nets["cbam"], faces[0][[0, 0]]))
    assert alike["sd between pictures"].to_numpy() == pytest.approx(0, abs=1e-6)


def upload(name, content):
    about = {"name": name, "type": "image/png", "size": len(content), "last_modified": datetime.now(UTC)}
    return about | {"content": memoryview(content)}


def test_a_face_is_chosen_and_ones_own_picture_joins(nets, faces):
    attention._net.cache_clear()  # as for a reader who looks at a net that no figure showed before
    panel = attention_panel(nets, *faces)
    panel.redraw()
    assert (panel.faces.count, panel.figures.count) == (2, 2)
    first = panel.closer_words.value
    assert "cbam: resnet18_cbam_ends" in first
    panel.faces.chosen = 1
    assert panel.figures.count == 2
    some = panel.figures.pictures[0]
    panel.controls["layers"].value = "all"
    assert panel.faces.chosen == 1, "the same faces, so the chosen one stays"
    assert panel.figures.pictures[0] == some, "a net of four maps shows them all"
    png = io.BytesIO()
    Image.fromarray(example_picture()).save(png, "PNG")
    panel.controls["own"].value = (upload("me.png", png.getvalue()),)
    assert "me.png stands first" in panel.words.value
    assert panel.faces.count == 2 + 3
    assert panel.controls["own"].value == (), "kept, it could be saved with the notebook"
    panel.controls["own"].value = (upload("no.png", b"nothing"),)
    assert "no.png: not a readable picture" in panel.words.value


def test_without_such_a_net_it_is_said(faces):
    panel = attention_panel({}, *faces)
    panel.redraw()
    assert "fer checkpoint RUN makes one" in panel.words.value
    assert repr(panel).endswith("shown here when the notebook runs in JupyterLab (fer lab)")


def test_an_expression_that_the_data_lack_is_named():
    with pytest.raises(UserError, match="unknown expression 'glad'"):
        some_faces(synthetic(train=0, val=0, test=35), ["happy", "glad"])
