"""What the page says: its own controls, never a flag of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.errors import OptionError, TalkingHeadError
from talkinghead.hosting.fields import Offered
from talkinghead.webui.sentences import NOTHING_HERE, on_page
from talkinghead.webui.studio import Studio
from tests.conftest import ROOT

FLAG = re.compile(r"(?<![\w-])--\w")
ELSEWHERE = ("cli", "fleet", "storage", "terminal")
"""Folders whose errors no page shows."""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Offered]]:
    studio = Studio(tmp_path_factory.mktemp("words") / "server")
    yield studio._option_names
    studio.close()


def texts_of(node: ast.AST) -> Iterator[str]:
    """What a piece of an error says, with X for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    elif isinstance(node, ast.BinOp):
        yield "".join([*texts_of(node.left), *texts_of(node.right)])
    elif isinstance(node, ast.IfExp):
        yield from (*texts_of(node.body), *texts_of(node.orelse))


def messages() -> Iterator[str]:
    """Every line of every error that the package raises, as the page would get it."""
    for path in sorted((ROOT / "talkinghead").rglob("*.py")):
        if path.relative_to(ROOT / "talkinghead").parts[0] in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id[:1].isupper() and node.args:
                yield from texts_of(node.args[0])
            for keyword in node.keywords:
                head = {"remedy": "Try: ", "accepted": "Accepted: "}.get(keyword.arg or "")
                yield from (head + text for text in texts_of(keyword.value)) if head else ()


def test_no_error_of_the_package_comes_to_the_page_with_a_flag(options: dict[str, Offered]) -> None:
    found = list(messages())
    flagged = [text for text in found if FLAG.search(text)]
    assert len(flagged) > 60  # what is looked for is there
    for text in found:
        told = on_page(text, options)
        assert not FLAG.search(told), told
        assert not re.search(r"\bthe the\b|another the option|\bor\s*$|: *$|, *$", told), (text, told)
        if not re.search(r"^[a-z_]+ is\b|`talkinghead generate` without|(?<![\w-])--\w", text):
            assert told.split() == text.split()


@given(st.text(st.sampled_from("-- abox(),;.=N1 or\n'"), max_size=60).map(lambda text: "Try: --x" + text))
def test_whatever_is_said_has_no_flag(text: str) -> None:
    assert not FLAG.search(on_page(text, {}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "No face.\nTry: --detector haar, or --max-pixels 9000000",
            'No face.\nTry: the option "How faces are found": haar',
        ),
        ("Try: --precision auto, or another --backend",
         'Try: the option "Precision": Automatic, or another "Runs with"'),
        ("Try: --device cpu --precision float32",
         'Try: the option "Runs on": Processor and the option "Precision": float32'),
        ("Accepted: at most 40 megapixels (--max-pixels)", "Accepted: at most 40 megapixels"),
        ("Accepted: --assets FOLDER", ""),
        ("Try: run it again with --force", f"Try: {NOTHING_HERE}"),
        ("Try: --no-torso shows the head alone",
         'Try: the option "Shoulders" switched off shows the head alone'),
        ("Try: a lower --fps", 'Try: a lower "Frames per second"'),
        ("Large. --resize-factor 2 halves it.", 'Large. The option "Make smaller": 2 halves it.'),
        ("crf is 90.", '"Compression" is 90.'),
        ("'a--b or c.png' is empty.", "'a--b or c.png' is empty."),
    ],
)  # fmt: skip
def test_flags_become_controls(options: dict[str, Offered], text: str, told: str) -> None:
    assert on_page(text, options) == told


def test_a_studio_speaks_so(tmp_path: Path) -> None:
    studio = Studio(tmp_path / "server")
    try:
        error = OptionError("fps is 'x'.", accepted="more than 0", remedy="leave --fps out, or --report FILE")
        assert studio.sentence(error) == (
            '"Frames per second" is \'x\'.\nAccepted: more than 0\nTry: leave "Frames per second" out'
        )
        assert studio.sentence(TalkingHeadError("/tmp/deep/me.png is --odd.")) == "me.png is odd."
    finally:
        studio.close()
