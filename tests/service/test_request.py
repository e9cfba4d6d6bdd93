"""Requests: refused where they are built, data that another machine can read, and the one way to run them."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import talkinghead as th
from talkinghead.contracts import AudioClip
from talkinghead.engine.cache import Cache, NullCache
from talkinghead.engine.head import LoadOptions, PrepareOptions, RenderOptions
from talkinghead.engine.timeline import LOOP_POLICIES
from talkinghead.errors import Cancelled, InputError, MediaError, OptionError, TalkingHeadError
from talkinghead.face.detectors.options import FaceOptions
from talkinghead.media import open_frames
from talkinghead.media.options import EncodeOptions, FrameOptions
from talkinghead.registry import FAMILIES
from talkinghead.service.batch import Batch
from talkinghead.service.request import Request, SoundFile, SpokenText
from talkinghead.service.run import HeadPool, hear, run
from talkinghead.speech.options import SpeechOptions
from tests.stripes import FACTS, StripesHead
from tests.synthetic_media import make_sound, make_video, read_code, tone


@pytest.fixture(autouse=True)
def _stripes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]


@pytest.fixture
def wanted(tmp_path: Path) -> Request:
    """One second of sound for a face of 20 frames."""
    sound = make_sound(tmp_path / "hello.wav", 1.0)
    return Request(make_video(tmp_path / "me.mp4", 20), SoundFile(sound), tmp_path / "out.mp4", "stripes")


ANY = Request("me.jpg", SoundFile(Path("hello.wav")), Path("out.mp4"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(ANY, model="nobody"), "no model 'nobody'"),
        (lambda: replace(ANY, load=LoadOptions(family={"nose": 1})), "no option 'nose'"),
        (lambda: replace(ANY, load=LoadOptions(family={"strength": 9.0})), "strength is 9"),
        (lambda: replace(ANY, load=LoadOptions(device="tpu")), "no device 'tpu'"),
        (lambda: replace(ANY, load=LoadOptions(backend="tf")), "no backend 'tf'"),  # type: ignore[arg-type]
        (lambda: replace(ANY, load=LoadOptions(precision="half")), "no precision 'half'"),  # type: ignore[arg-type]
        (lambda: replace(ANY, render=RenderOptions(loop="bounce")), "loop policy 'bounce'"),  # type: ignore[arg-type]
        (lambda: replace(ANY, render=RenderOptions(fps=Fraction(0))), "fps is 0"),
        (lambda: replace(ANY, render=RenderOptions(motion=Path("m.txt"))), r"motion file is 'm\.txt'"),
        (lambda: replace(ANY, render=RenderOptions(cues=Path("c.doc"))), r"cue file is 'c\.doc'"),
        (lambda: replace(ANY, prepare=PrepareOptions(render=RenderOptions())), "in the request itself"),
        (
            lambda: replace(
                ANY,
                prepare=PrepareOptions(frames=FrameOptions(fps=Fraction(30))),
                render=RenderOptions(fps=Fraction(25)),
            ),
            "Two frame rates",
        ),
        (lambda: SoundFile(Path("a.wav"), start_s=-1), "start_s is -1"),
        (lambda: SoundFile(Path("a.wav"), duration_s=0), "duration_s is 0"),
        (lambda: SpokenText(" \n"), "The text is empty"),
        (lambda: SpokenText("Hi", SpeechOptions(speed=9)), "speed is 9"),
    ],
)
def test_what_cannot_be_is_refused_where_it_is_built(make: Any, message: str) -> None:
    with pytest.raises((TalkingHeadError, ValueError), match=message):
        make()


NAMES = st.from_regex(r"[a-z][a-z0-9 ._-]{0,8}[a-z0-9]", fullmatch=True)
RATES = st.fractions(Fraction(1, 10), Fraction(200), max_denominator=2000)
SECONDS = st.floats(0.0, 1e4)
SPEECH = st.one_of(
    st.builds(SoundFile, NAMES.map(Path), SECONDS, st.none() | st.floats(0.01, 1e4), st.none() | NAMES.map(Path)),
    st.builds(
        SpokenText,
        st.just("Hello.") | NAMES,
        st.builds(SpeechOptions, lang=st.sampled_from(["en", "de"]), speed=st.floats(0.3, 3.0)),
    ),
)
LOAD = st.builds(
    LoadOptions,
    checkpoint=st.none() | NAMES.map(Path),
    device=st.sampled_from(["auto", "cpu", "cuda", "cuda:1"]),
    precision=st.sampled_from(["auto", "parity", "bfloat16"]),
    backend=st.sampled_from(["auto", "torch"]),
    compat=st.booleans(),
    family=st.fixed_dictionaries(
        {},
        optional={
            "strength": st.floats(0, 2) | st.sampled_from([1, True, np.float32(0.5)]),
            "idle_motion": st.booleans() | st.sampled_from([0, 1]),
        },
    ),
)
PREPARE = st.builds(
    PrepareOptions,
    frames=st.none()
    | st.builds(
        FrameOptions,
        crop=st.none() | st.tuples(*[st.integers(0, 9), st.integers(10, 20)] * 2),
        rotate=st.sampled_from([0, 90, 180, 270, True, False]),
        resize_factor=st.sampled_from([1, 2, np.int64(3)]),
        square_pixels=st.sampled_from([True, False, 1]),
        start_s=SECONDS,
    ),
    faces=st.none()
    | st.builds(
        FaceOptions,
        select=st.sampled_from(["largest", "index:2"]),
        smoothing=st.integers(0, 9) | st.booleans(),
        box=st.none() | st.just(tuple(np.array([1, 2, 30, 40]))) | st.just([1, 2, 30, 40]),
        min_score=st.none() | st.sampled_from([0, 1, 0.5, True]),
    ),
    cache=st.sampled_from([None, NullCache(), Cache(Path("somewhere"))]),
)
RENDER = st.builds(
    RenderOptions,
    fps=st.none() | RATES | st.sampled_from([25, 25.0, 29.97]),
    loop=st.sampled_from(LOOP_POLICIES),
    encode=st.none() | st.builds(EncodeOptions, crf=st.none() | st.integers(0, 51), label=st.booleans()),
    overwrite=st.booleans(),
    motion=st.none() | st.just(Path("m.npz")),
    cues=st.none() | st.just(Path("c.json")),
)


@settings(deadline=None, max_examples=60)
@given(
    st.builds(
        Request,
        NAMES,
        SPEECH,
        NAMES.map(Path),
        st.just("viseme"),
        LOAD,
        PREPARE,
        RENDER,
        st.none() | NAMES.map(Path),
        st.none() | st.floats(0.1, 1e4),
    )
)
def test_a_request_is_data(request_: Request) -> None:
    row = json.loads(json.dumps(request_.to_dict(), allow_nan=False))
    again = Request.from_dict(row)
    assert again.to_dict() == row
    for name in ("source", "speech", "output", "model", "load", "report", "max_speech_s"):
        assert getattr(again, name) == getattr(request_, name)
    rates = again.render.fps, request_.render.fps
    assert rates[0] == (rates[1] if rates[1] != 29.97 else Fraction(2997, 100))
    assert replace(again.render, fps=None) == replace(request_.render, fps=None)
    assert again.prepare.frames == request_.prepare.frames
    found, wanted = again.prepare.faces, request_.prepare.faces
    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        assert replace(found, box=None) == replace(wanted, box=None)
        assert (found.box is None) == (wanted.box is None)
        assert found.box is None or found.box == (1, 2, 30, 40)
    assert type(again.prepare.cache) is type(request_.prepare.cache)


def test_a_row_names_only_what_was_asked_for() -> None:
    assert ANY.to_dict() == {"source": "me.jpg", "speech": {"path": "hello.wav"}, "output": "out.mp4"}
    row = {
        "source": "me.mp4",
        "speech": {"text": "Hallo.", "options": {"lang": "de"}},
        "output": "o.webm",
        "model": "wav2lip",
        "load": {"checkpoint": "wav2lip-gan", "family": {"pads": [0, 10, 0, 0]}},
        "prepare": {"cache": False, "faces": {"select": "index:1"}},
        "render": {"fps": "30000/1001", "encode": {"crf": 30}},
    }
    read = Request.from_dict(row)
    assert read.render.fps == Fraction(30000, 1001)
    assert read.load.family == {"pads": (0, 10, 0, 0)}
    assert isinstance(read.prepare.cache, NullCache)
    assert read.to_dict() == row


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "A request has no option 'colour'"),
        ({"speech": {"path": "a.wav", "start": 1}}, "speech has no option 'start'"),
        ({"speech": {"start_s": 1}}, "hello.wav"),
        ({"speech": {"path": "a.wav", "start_s": "1"}}, "start_s is '1'"),
        ({"speech": {"text": 7}}, "text is 7"),
        ({"load": {"devices": "cpu"}}, "load has no option 'devices'"),
        ({"load": {"family": {"strengh": 1}}}, "no option 'strengh'"),
        ({"load": {"family": {"strength": True}}}, "strength is True"),
        ({"load": {"backend": "tf"}}, "backend is 'tf'"),
        ({"render": {"fps": 25.0}}, "fps is 25.0"),
        ({"render": {"encode": {"crf": "good"}}}, "crf is 'good'"),
        ({"prepare": {"frames": {"crop": [1, 2]}}}, "4 values"),
        ({"prepare": {"cache": 3}}, "cache is 3"),
        ({"prepare": []}, "prepare is"),
        ({"output": ""}, "output is ''"),
        ({"model": "nobody"}, "no model"),
        ({"max_speech_s": "60"}, "max_speech_s is '60'"),
    ],
)
def test_rows_that_are_no_request(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Request.from_dict({**ANY.to_dict(), **change})
    assert message in str(caught.value)


@pytest.mark.parametrize("row", [None, [], "me.jpg", {}, {"source": "me.jpg", "output": "o.mp4"}])
def test_what_is_no_row(row: Any) -> None:
    with pytest.raises(OptionError):
        Request.from_dict(row)


def test_what_lives_in_memory_is_no_data() -> None:
    clip = AudioClip(tone(0.1, 16_000), 16_000)
    for change in ({"speech": clip}, {"source": np.zeros((4, 4, 3), np.uint8)}, {"model": None}):
        with pytest.raises(OptionError, match="in memory"):
            replace(ANY, **change).to_dict()  # type: ignore[arg-type]


def test_a_request_is_run_and_timed(wanted: Request, tmp_path: Path) -> None:
    seen = []
    wanted = replace(wanted, report=tmp_path / "r.json")
    result = run(wanted, progress=seen.append)
    names = [stage.name for stage in result.report.stages]
    assert names[:2] == ["load", "read-sound"]
    assert names[-1] == "write"
    assert result.report.num_frames == 25
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(result.report.to_json())
    assert result.report.wall_s >= sum(stage.busy_s for stage in result.report.stages[:3])
    told = list(dict.fromkeys(event.stage for event in seen))
    assert told == ["load", "read-sound", "open-face", "listen", "render"]


def test_a_request_and_the_api_make_the_same_report(wanted: Request) -> None:
    ours = run(wanted).report
    assert isinstance(wanted.speech, SoundFile)
    theirs = th.generate(wanted.source, wanted.speech.path, wanted.output, model="stripes").report  # type: ignore[arg-type]
    assert [stage.name for stage in ours.stages] == [stage.name for stage in theirs.stages]
    assert replace(ours, wall_s=0, stages=(), peak_memory_bytes=0) == replace(
        theirs, wall_s=0, stages=(), peak_memory_bytes=0
    )


def codes(path: Path) -> list[int]:
    """The numbers that the frames of a video carry."""
    return [read_code(frame) for frame in open_frames(path).read()]


@pytest.mark.parametrize("fps", [Fraction(50), Fraction(10), Fraction(30000, 1001)])
def test_a_second_of_sound_shows_a_second_of_the_face(wanted: Request, tmp_path: Path, fps: Fraction) -> None:
    """At another rate than the face's, its frames are repeated or left out, and no time is lost or won."""
    face = make_video(tmp_path / "long.mp4", 60)
    render = RenderOptions(fps=fps)
    run(replace(wanted, source=face, render=render))
    by_request = codes(wanted.output)
    th.generate(face, tmp_path / "hello.wav", wanted.output, model="stripes", render_options=render)
    assert codes(wanted.output) == by_request
    assert len(by_request) == -(-fps // 1)
    late = [abs(code / 25 - i / float(fps)) for i, code in enumerate(by_request)]
    assert max(late) < 1 / 25 + 0.5 / float(fps)


def test_a_face_that_was_prepared_at_its_own_rate_is_shown_in_its_own_time(wanted: Request, tmp_path: Path) -> None:
    head = th.load("stripes")
    avatar = head.prepare(make_video(tmp_path / "long.mp4", 60))
    run(replace(wanted, render=RenderOptions(fps=Fraction(50))), head=head, avatar=avatar)
    assert codes(wanted.output) == [i // 2 for i in range(50)]


def test_a_head_and_a_face_may_be_handed_over(wanted: Request) -> None:
    head = th.load("stripes")
    avatar = head.prepare(wanted.source)  # type: ignore[arg-type]
    result = run(replace(wanted, source=None, model=None), head=head, avatar=avatar)
    assert [stage.name for stage in result.report.stages][:2] == ["read-sound", "listen"]
    with pytest.raises(OptionError, match="names no model"):
        run(replace(wanted, model=None))
    with pytest.raises(OptionError, match="needs --face"):
        run(replace(wanted, source=None))


def test_speech_that_is_too_long_is_refused(wanted: Request) -> None:
    with pytest.raises(InputError, match="minutes"):
        run(replace(wanted, max_speech_s=0.5))
    assert not wanted.output.exists()


def test_cancelling_before_it_begins(wanted: Request) -> None:
    token = th.CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        run(wanted, cancel=token)
    assert not wanted.output.exists()


def test_exact_phones_come_from_a_file(tmp_path: Path) -> None:
    sound = make_sound(tmp_path / "a.wav", 0.5)
    (tmp_path / "p.json").write_text('{"phones": [[0.0, 0.2, "AA"], [0.2, 0.5, "SIL"]]}')
    phones = hear(SoundFile(sound, phones=tmp_path / "p.json")).phones
    assert phones is not None
    assert [phone.label for phone in phones] == ["AA", "SIL"]


def test_a_pool_loads_once_and_keeps_what_is_free(wanted: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    import talkinghead.service.run as module

    loaded = []
    plain = module.load
    monkeypatch.setattr(module, "load", lambda model, options: (loaded.append(options), plain(model, options))[1])
    pool = HeadPool(keep=1)
    first = pool.run(wanted).report
    second = pool.run(wanted).report
    assert [stage.name for stage in first.stages][:2] == ["load", "read-sound"]
    assert [stage.name for stage in second.stages][:2] == ["read-sound", "listen"]
    other = replace(wanted, load=LoadOptions(family={"bar": False}))
    with pool.borrow(wanted) as (one, _), pool.borrow(wanted) as (two, _):
        assert one is not two
    pool.run(other)
    pool.run(wanted)
    assert len(loaded) == 4  # at first, for the second of two at once, for the other options, and after those


def test_a_batch_prepares_a_face_once_and_goes_on(wanted: Request, tmp_path: Path, monkeypatch: Any) -> None:
    prepared: list[Any] = []
    plain = StripesHead.prepare
    monkeypatch.setattr(StripesHead, "prepare", lambda *a, **k: (prepared.append(a[1]), plain(*a, **k))[1])
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG nothing")
    sounds = [SoundFile(make_sound(tmp_path / f"{name}.wav", 0.4)) for name in "ab"]
    requests = [
        replace(wanted, source=source, speech=sound, output=tmp_path / "out" / f"{number}{sound.path.stem}.mp4")
        for number, source in enumerate((wanted.source, bad))
        for sound in sounds
    ]
    batch = Batch(requests)
    outcomes = [batch.outcome(request) for request in requests]
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, False]
    assert isinstance(outcomes[2].error, MediaError)
    assert prepared == [wanted.source, bad]
    first = outcomes[0].to_dict()
    assert (first["ok"], first["audio"]) == (True, str(sounds[0].path))
    assert first["report"]["num_frames"] == 10
    assert "bad.png" in outcomes[3].to_dict()["error"]
    assert outcomes[1].result is not None
    assert "load" not in [stage.name for stage in outcomes[1].result.report.stages]


@pytest.mark.parametrize("error", [IndexError, KeyError, RuntimeError, MemoryError, UnicodeError])
def test_a_batch_goes_on_whatever_one_job_raises(
    error: type[Exception], wanted: Request, tmp_path: Path, monkeypatch: Any
) -> None:
    sounds = [SoundFile(make_sound(tmp_path / f"{name}.wav", 0.4)) for name in "ab"]
    faces = [wanted.source, make_video(tmp_path / "other.mp4", 6)]
    requests = [
        replace(wanted, source=face, speech=sound, output=tmp_path / f"{number}{sound.path.stem}.mp4")
        for number, face in enumerate(faces)
        for sound in sounds
    ]
    plain = StripesHead.prepare

    def prepare(self: StripesHead, source: Any, *args: Any, **settings: Any) -> Any:
        if source == faces[0]:
            raise error("odd")
        return plain(self, source, *args, **settings)

    monkeypatch.setattr(StripesHead, "prepare", prepare)
    outcomes = [Batch(requests).outcome(request) for request in requests]
    assert [type(outcome.error) for outcome in outcomes] == [error, error, type(None), type(None)]
    assert "odd" in outcomes[0].to_dict()["error"]


def test_a_batch_holds_the_frames_of_one_face(wanted: Request, tmp_path: Path, monkeypatch: Any) -> None:
    """Faces that come again stay prepared, but their decoded frames do not fill the memory."""
    avatars: list[Any] = []
    plain = StripesHead.prepare
    monkeypatch.setattr(StripesHead, "prepare", lambda *a, **k: (avatars.append(plain(*a, **k)), avatars[-1])[1])
    faces = [make_video(tmp_path / f"{name}.mp4", 6) for name in "ab"]
    sounds = [SoundFile(make_sound(tmp_path / f"{name}.wav", 0.2)) for name in "cd"]
    requests = [
        replace(wanted, source=face, speech=sound, output=tmp_path / f"{face.stem}{sound.path.stem}.mp4")
        for sound in sounds
        for face in faces
    ]
    batch = Batch(requests)
    closed: list[tuple[int, str]] = []
    for number, request in enumerate(requests):
        assert batch.outcome(request).error is None
        if number < 2:
            name = request.output.stem
            monkeypatch.setattr(avatars[-1].source, "close", lambda n=name: closed.append((len(closed), n)))
    assert len(avatars) == 2
    assert [name for _, name in closed] == ["ac", "bc", "ac"]


def test_a_batch_speaks_a_text_once_for_all_its_faces(wanted: Request, tmp_path: Path, monkeypatch: Any) -> None:
    import talkinghead.service.warm as module

    spoken = []
    speech = th.listen(AudioClip(tone(0.2, 16_000), 16_000))
    monkeypatch.setattr(module, "hear", lambda text, **_: (spoken.append(text), speech)[1])
    text = SpokenText("Hello.")
    requests = [
        replace(wanted, source=make_video(tmp_path / f"{name}.mp4", 6), speech=text, output=tmp_path / f"{name}-o.mp4")
        for name in "ab"
    ]
    batch = Batch(requests)
    stages = [[stage.name for stage in batch.run(request).report.stages] for request in requests]
    assert spoken == [text]
    assert [names[:2] for names in stages] == [["load", "speak"], ["listen", "read"]]
