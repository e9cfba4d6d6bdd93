"""Text into sentences."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkinghead.errors import InputError
from talkinghead.speech import MAX_CHARACTERS, split_sentences
from talkinghead.speech.sentences import MAX_SENTENCE


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("Dr. Smith paid 3.50 dollars. He left.", ["Dr. Smith paid 3.50 dollars.", "He left."]),
        ("J. S. Bach wrote it.", ["J. S. Bach wrote it."]),
        ('She said "Stop!" Then she went.', ['She said "Stop!"', "Then she went."]),
        ("你好。今天天气很好！真的吗？", ["你好。", "今天天气很好！", "真的吗？"]),
        ("a line\nbroken here\n\nnext paragraph", ["a line broken here", "next paragraph"]),
        ("Wait... what?", ["Wait...", "what?"]),
        ("one\x00two\u200bthree", ["one two three"]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=1500))
def test_nothing_that_can_be_said_is_lost(text: str) -> None:
    spoken = [c for c in text if c.isalnum()]
    if not spoken:
        with pytest.raises(InputError):
            split_sentences(text)
        return
    sentences = split_sentences(text)
    assert [c for sentence in sentences for c in sentence if c.isalnum()] == spoken
    assert all(len(sentence) <= MAX_SENTENCE + 16 for sentence in sentences if sentence.isalnum())


def test_a_sentence_without_end_is_cut() -> None:
    sentences = split_sentences("word, " * 2000)
    assert max(map(len, sentences)) <= MAX_SENTENCE
    assert len(split_sentences("x" * 5000)) == 13


@pytest.mark.parametrize("text", ["", "   \n", "...!?", "\x00\x01"])
def test_nothing_to_say(text: str) -> None:
    with pytest.raises(InputError, match="text is"):
        split_sentences(text)


def test_enormous() -> None:
    with pytest.raises(InputError, match="in parts"):
        split_sentences("a " * MAX_CHARACTERS)
