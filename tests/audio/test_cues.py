from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkinghead.assets import demo_phones_path
from talkinghead.audio.cues import (
    FORMATS,
    SHAPES,
    CueTiming,
    format_cues,
    mouth_cues,
    parse_cues,
    read_cues,
    write_cues,
)
from talkinghead.audio.phones import read_phones
from talkinghead.audio.visemes import PHONES
from talkinghead.contracts import MouthCue, Phone
from talkinghead.errors import MediaNotFound, OptionError, UnreadableMedia


@st.composite
def phone_rows(draw: st.DrawFn) -> tuple[Phone, ...]:
    labels = draw(st.lists(st.sampled_from(sorted(PHONES)), max_size=40))
    time, out = 0.0, []
    for label in labels:
        end = time + draw(st.floats(0.005, 0.6))
        out.append(Phone(time, end, label))
        time = end
    return tuple(out)


@given(phone_rows())
def test_cues_cover_the_phones_without_holes_and_neighbours_differ(phones: tuple[Phone, ...]) -> None:
    cues = mouth_cues(phones)
    if not phones or phones[-1].end_s < 0.01:
        return
    assert cues[0].start_s == 0.0
    assert cues[-1].end_s == pytest.approx(phones[-1].end_s, abs=0.0101)
    for a, b in pairwise(cues):
        assert a.end_s == b.start_s
        assert a.shape != b.shape
    assert all(cue.shape in SHAPES and cue.end_s > cue.start_s for cue in cues)
    assert mouth_cues(phones) == cues


@given(phone_rows())
def test_every_lip_contact_is_shown(phones: tuple[Phone, ...]) -> None:
    cues = mouth_cues(phones)
    for phone in phones:
        if phone.label in ("P", "B", "M") and phone.end_s - phone.start_s >= 0.02:
            assert any(
                cue.shape == "A" and cue.start_s < phone.end_s + 0.011 and cue.end_s > phone.start_s - 0.011
                for cue in cues
            )


def test_shapes_last_long_enough_to_be_seen() -> None:
    phones = read_phones(demo_phones_path())
    timing = CueTiming()
    for cue in mouth_cues(phones, timing)[1:-1]:
        assert cue.end_s - cue.start_s >= min(timing.shortest_s, timing.tween_s) - 0.011


def test_the_mouth_opens_before_the_first_sound_and_rests_in_pauses() -> None:
    phones = (Phone(0, 0.5, "SIL"), Phone(0.5, 0.7, "AA"), Phone(0.7, 1.2, "SIL"))
    assert mouth_cues(phones) == (
        MouthCue(0.0, 0.45, "X"),
        MouthCue(0.45, 0.5, "C"),
        MouthCue(0.5, 0.65, "D"),
        MouthCue(0.65, 0.7, "C"),
        MouthCue(0.7, 1.2, "X"),
    )


def test_tsv_is_what_rhubarb_documents() -> None:
    cues = (MouthCue(0, 0.05, "X"), MouthCue(0.05, 0.27, "D"), MouthCue(0.27, 0.47, "B"))
    assert format_cues(cues, "tsv") == "0.00\tX\n0.05\tD\n0.27\tB\n0.47\tX\n"


def test_json_and_xml_carry_the_documented_fields() -> None:
    cues = (MouthCue(0, 0.05, "X"), MouthCue(0.05, 0.47, "D"))
    text = format_cues(cues, "json", 'C:\\a "b".wav')
    assert '"soundFile": "C:\\\\a \\"b\\".wav"' in text
    assert '"duration": 0.47' in text
    assert '    { "start": 0.05, "end": 0.47, "value": "D" }' in text
    xml = format_cues(cues, "xml", "a&b.wav")
    assert "<soundFile>a&amp;b.wav</soundFile>" in xml
    assert '<mouthCue start="0.05" end="0.47">D</mouthCue>' in xml


def test_dat_counts_frames_from_one_and_can_use_preston_blair_names() -> None:
    cues = (MouthCue(0, 0.5, "X"), MouthCue(0.5, 0.51, "A"), MouthCue(0.51, 1.0, "C"))
    assert format_cues(cues, "dat") == "MohoSwitch1\n1 X\n13 A\n25 X\n"
    named = format_cues(cues, "dat", preston_blair=True)
    assert named == "MohoSwitch1\n1 rest\n13 MBP\n25 rest\n"
    assert [cue.shape for cue in parse_cues(named, "dat")] == ["X", "A"]


@pytest.mark.parametrize("format", FORMATS)
def test_cues_survive_writing_and_reading(tmp_path: Path, format: str) -> None:
    cues = mouth_cues(read_phones(demo_phones_path()))
    path = tmp_path / f"my cues.v1.{format}"
    write_cues(path, cues, sound_file="hello.wav")
    again = read_cues(path)
    if format == "dat":  # whole frames at 24 per second
        assert again[-1].end_s == pytest.approx(cues[-1].end_s, abs=1 / 24)
        assert [c.shape for c in again if c.shape == "A"] == [c.shape for c in cues if c.shape == "A"]
    else:
        assert again == cues
    assert list(tmp_path.iterdir()) == [path]


def test_a_gap_in_an_edited_file_shows_the_mouth_at_rest() -> None:
    text = '{"mouthCues": [{"start": 0.2, "end": 0.4, "value": "D"}, {"start": 0.6, "end": 0.8, "value": "A"}]}'
    assert [(c.start_s, c.end_s, c.shape) for c in parse_cues(text, "json")] == [
        (0.0, 0.2, "X"), (0.2, 0.4, "D"), (0.4, 0.6, "X"), (0.6, 0.8, "A")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("json", "{}"),
        ("json", "not json"),
        ("json", '{"mouthCues": [{"start": 0, "end": 1, "value": "Q"}]}'),
        ("json", '{"mouthCues": [{"start": 1, "end": 0, "value": "A"}]}'),
        ("json", '{"mouthCues": [{"start": 0, "end": NaN, "value": "A"}]}'),
        ("tsv", "zero\tA\n1\tX\n"),
        ("tsv", "1.0\tA\n0.5\tB\n2\tX"),
        ("xml", "<html></html>"),
        ("srt", "hello"),
        ("dat", "1 A\n"),
        ("dat", "MohoSwitch1\nA 1\n"),
    ],
)
def test_what_is_not_a_cue_file_is_refused(tmp_path: Path, format: str, text: str) -> None:
    path = tmp_path / f"bad.{format}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UnreadableMedia, match=r"bad\."):
        read_cues(path)


def test_unknown_formats_and_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="mp3"):
        write_cues(tmp_path / "x.mp3", ())
    with pytest.raises(OptionError, match="'wav'"):
        format_cues((), "wav")
    with pytest.raises(OptionError, match="frames per second"):
        format_cues((), "dat", dat_fps=0.0)
    with pytest.raises(MediaNotFound):
        read_cues(tmp_path / "none.json")
    assert not list(tmp_path.iterdir())


def test_no_phones_no_cues() -> None:
    assert mouth_cues(()) == ()
    assert format_cues((), "tsv") == "0.00\tX\n"
    assert parse_cues(format_cues((), "json"), "json") == ()
