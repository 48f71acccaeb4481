"""A training watched: the bar and the curves of a reader who is there, and silence where nobody is."""

import pytest

from fer_lib.study import live


@pytest.fixture
def reader(monkeypatch):
    monkeypatch.setattr(live, "reader_is_there", lambda: True)


def rows(count):
    return [
        {"epoch": n + 1, "train_loss": 2.0 - n / 9, "val_loss": 2.1, "train_accuracy": 0.3, "val_accuracy": 0.2}
        for n in range(count)
    ]


def test_bar_and_words_follow_the_steps(reader):
    now = iter([0.0, 0.01, 1.0, 2.0])
    shown = live.Live(clock=lambda: next(now))
    shown(1, 40, [])
    assert (shown.bar.value, shown.bar.max, shown.words.value) == (1, 40, "epoch 1, step 1 of 40")
    shown(2, 40, [])
    assert shown.bar.value == 1, "sooner than an eye sees"
    shown(30, 40, [])
    assert shown.bar.value == 30
    shown(40, 40, [])
    assert shown.bar.value == 40


def test_curves_are_drawn_from_the_second_epoch_and_not_too_often(reader):
    now = iter([0.0, 10.0, 11.0, 20.0])
    shown = live.Live(clock=lambda: next(now))
    shown(1, 9, rows(1))
    assert not shown.picture.value
    shown(1, 9, rows(2))
    first = bytes(shown.picture.value)
    assert first.startswith(b"\x89PNG")
    shown(1, 9, rows(3))
    assert bytes(shown.picture.value) == first
    shown(1, 9, rows(4))
    assert bytes(shown.picture.value) != first
    shown.close()


def test_nobody_is_asked_where_nobody_is():
    assert not live.reader_is_there()
    assert live.ask_reader("really?")
    quiet = live.Live()
    quiet(1, 9, rows(3))
    quiet.close()
    assert quiet.box is None


@pytest.mark.parametrize(("answer", "yes"), [("y", True), ("Yes", True), ("", False), ("n", False)])
def test_only_yes_is_yes(reader, monkeypatch, answer, yes):
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert live.ask_reader("train?") == yes
