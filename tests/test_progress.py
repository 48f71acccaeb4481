"""Bars: at a terminal only, and gone at the end."""

import io
import sys

import pytest

from fer_lib.progress import track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (io.StringIO(), False), (None, False)])
def test_a_bar_is_shown_at_a_terminal_only(monkeypatch, stream, shown):
    monkeypatch.setattr(sys, "__stderr__", stream)
    monkeypatch.setattr("tqdm.std.time", iter(range(100)).__next__)  # each item takes a second
    assert list(track(["a", "b", "c"], "verifying")) == ["a", "b", "c"]
    written = stream.getvalue() if stream else ""
    assert ("verifying" in written and "2/3" in written) == shown
    assert not written.rpartition("\r")[2].strip()
