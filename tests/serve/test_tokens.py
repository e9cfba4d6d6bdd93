"""Tokens: known by their hashes, with names."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from talkinghead.errors import InputError, OptionError
from talkinghead.serve.tokens import Tokens, read_tokens, tokens_file

SECRET = "s" * 24


def test_a_file_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    digest = hashlib.sha256(SECRET.encode()).hexdigest()
    path.write_text(f"# who may ask\nanna {'a' * 20}\n\nben sha256:{digest}  # his\nanna {'b' * 20}\n")
    tokens = Tokens(tokens_file(path))
    found = [tokens.owner(token) for token in ("a" * 20, "b" * 20, SECRET, f"sha256:{digest}", "c" * 20, "")]
    assert found == ["anna", "anna", "ben", None, None, None]
    assert not Tokens()


@pytest.mark.parametrize(
    "text", [f"anna{SECRET}", "anna short", f"an/na {SECRET}", "anna sha256:00", f"anna {SECRET}\u00e4"]
)
def test_other_lines_are_refused_without_being_shown(text: str) -> None:
    with pytest.raises(OptionError) as raised:
        read_tokens(text, "--token")
    assert SECRET not in str(raised.value)


def test_a_file_without_tokens_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# nobody\n")
    with pytest.raises(InputError, match="no token"):
        tokens_file(path)
