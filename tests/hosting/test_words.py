"""What options are called on a page."""

from __future__ import annotations

import re

import pytest

from talkinghead.hosting.fields import Offered, model_group, shared_groups
from talkinghead.hosting.words import WORDS, called, hint_of, label_of
from talkinghead.service.availability import all_models


def offered() -> list[Offered]:
    """Every option that a page can have."""
    groups = [
        model_group(found.facts, {**dict.fromkeys(("enhance", "style"), ("off", "x")), **found.choices})
        for found in all_models()
    ]
    return [one for group in (*groups, *shared_groups()) for one in group.offered]


@pytest.mark.parametrize("one", offered(), ids=lambda one: one.field.name)
def test_every_option_has_words(one: Offered) -> None:
    assert one.field.name in WORDS
    assert one.label[0].isupper()
    assert "_" not in one.label
    assert 3 <= len(one.label) < 45
    assert len(one.hint) < 140
    assert not re.search(r"--|`|\bNone\b|_|https?:", one.hint), one.hint
    for name, _ in one.called_names:
        assert name
    if one.shown_default is None:
        assert one.kind in ("text", "choice")


def test_what_is_automatic_is_empty_and_never_a_number() -> None:
    by_name = {one.field.name: one for one in offered()}
    for name in ("crf", "audio_bitrate", "every", "min_score", "max_side", "duration_s", "threads", "clip_length",
                 "iteration", "face_index", "fps", "box", "crop"):  # fmt: skip
        assert by_name[name].shown_default is None, name
        assert by_name[name].kind == "text"
        assert by_name[name].placeholder == "automatic"
    assert by_name["blinks_per_minute"].kind == "number"
    assert by_name["crf"].read("23") == 23
    assert by_name["threads"].read(4) == 4


def test_words_of_values() -> None:
    assert called("loop", "pingpong") == "Forwards and backwards"
    assert called("detector", "auto") == "Automatic"
    assert called("detector", "haar") == "haar"
    assert all(set(dict(words.names)) for words in WORDS.values() if words.names)


def test_fields_without_words_go_by_their_names_and_the_first_sentence_of_their_help() -> None:
    assert label_of("nose_length_s") == "Nose length (seconds)"
    assert label_of("nose") == "Nose"
    assert hint_of("nose", "How long it is, as `Nose` has it. More of that here.") == "How long it is, as Nose has it."
    assert hint_of("nose", "With --compat it is short.") == ""
