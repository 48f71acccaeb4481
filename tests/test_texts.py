"""Text from elsewhere is shown, never obeyed."""

import os

import pytest

from fer_lib.texts import one_line, printable, spreadsheet_cell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 顔 – 3 %\tx\ny", "plain ü 顔 – 3 %\tx\ny"),
        ("\x1b[2Jgone\x07", "\\x1b[2Jgone\\x07"),
        ("a\rb\x9b31m\x7f", "a\\rb\\x9b31m\\x7f"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        (os.fsdecode(b"caf\xe9.png"), "caf\\udce9.png"),
    ],
)
def test_control_characters_are_shown_by_number(text, shown):
    assert printable(text) == shown
    shown.encode()


def test_one_line():
    assert one_line("a\nb\x1bc\n") == "a\\nb\\x1bc"


@pytest.mark.parametrize("text", ["=cmd|'/c calc'!A1", "+1", "-1", "@x", "\tx"])
def test_a_formula_is_quoted(text):
    assert spreadsheet_cell(text) == f"'{text}"
    assert spreadsheet_cell(f"a{text}") == f"a{text}"
    assert spreadsheet_cell("") == ""
