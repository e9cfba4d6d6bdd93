"""The service as its clients see it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from talkinghead.media import probe
from tests.serve.conftest import TOKENS, client_of, ended, opened, ordered, sent

SLOW = {"model": {"delay_s": 0.03}}
"""Three quarters of a second for the 25 frames."""


def test_a_video_from_its_order_to_its_removal(anna: Any, media: dict[str, Path], tmp_path: Path) -> None:
    answer = ordered(anna, media)
    assert answer.status_code == 202
    video = answer.json()
    assert (video["object"], video["status"]) in [("video", "queued"), ("video", "in_progress")]
    assert answer.headers["location"] == f"/v1/videos/{video['id']}"
    done = ended(anna, video["id"])
    assert (done["status"], done["progress"], done["size"], done["seconds"]) == ("completed", 100, "64x48", 1.0)
    assert anna.get(f"/v1/videos/{video['id']}").json() == done
    content = anna.get(f"/v1/videos/{video['id']}/content")
    assert content.headers["content-type"] == "video/mp4"
    path = tmp_path / "got.mp4"
    path.write_bytes(content.content)
    assert probe(path).video[0].num_frames == 25
    part = anna.get(f"/v1/videos/{video['id']}/content", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, content.content[10:20])
    assert anna.get(f"/v1/videos/{video['id']}/content?variant=thumbnail").content[8:12] == b"WEBP"
    report = anna.get(f"/v1/videos/{video['id']}/content?variant=report").json()
    assert report["num_frames"] == 25
    assert "/tmp" not in json.dumps(report)
    assert anna.delete(f"/v1/videos/{video['id']}").json()["deleted"] is True
    assert anna.get(f"/v1/videos/{video['id']}").status_code == 404


def test_each_token_sees_its_own(anna: Any, ben: Any, media: dict[str, Path]) -> None:
    video = ordered(anna, media).json()["id"]
    for address in ("", "/content", "/events", "/stream"):
        assert ben.get(f"/v1/videos/{video}{address}").json()["error"]["type"] == "NotHere"
    assert ben.delete(f"/v1/videos/{video}").status_code == 404
    assert ben.get("/v1/videos").json()["data"] == []
    assert [found["id"] for found in anna.get("/v1/videos").json()["data"]] == [video]


def test_without_a_token_nothing_is_told(running: Any) -> None:
    with client_of(running, None) as client:
        for address in ("/v1/videos", "/v1/models", "/metrics"):
            answer = client.get(address)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert set(answer.json()["error"]) == {"type", "message", "accepted", "remedy"}
        assert client.get("/healthz").json() == client.get("/readyz").json() == {"status": "ok"}
        wrong = [client.get("/v1/videos", headers={"Authorization": f"Bearer wrong-{i}"}).status_code for i in range(7)]
        assert wrong == [401] * 5 + [429] * 2
        right = {"Authorization": f"Bearer {TOKENS['ben']}"}
        assert client.get("/v1/videos", headers=right).status_code == 200  # nobody is kept out by others' guesses


def test_the_same_key_gives_the_same_video(anna: Any, ben: Any, media: dict[str, Path]) -> None:
    key = {"Idempotency-Key": "lesson-1"}
    first, again = ordered(anna, media, key), ordered(anna, media, key)
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["idempotent-replayed"] == "true"
    other = ordered(anna, media, key, options={"model": {"bar": False}})
    assert (other.status_code, other.json()["error"]["type"]) == (422, "KeyConflict")
    assert ordered(ben, media, key).json()["id"] != first.json()["id"]
    for video in ben.get("/v1/videos").json()["data"]:
        ben.delete(f"/v1/videos/{video['id']}")


@pytest.mark.parametrize(
    ("fields", "status", "kind", "message"),
    [
        ({"model": "nobody"}, 400, "OptionError", "nobody"),
        ({"model": "wav2lip"}, 409, "MissingWeights", "model file"),
        ({"checkpoint": "/etc/passwd"}, 400, "OptionError", "no checkpoint"),
        ({"options": {"nose": {}}}, 400, "OptionError", "nose"),
        ({"options": {"model": {"delay_s": "x"}}}, 400, "OptionError", "delay_s"),
        ({"source": "Portrait"}, 400, "InputError", "Both a face"),
        ({"text": "Hello."}, 400, "InputError", "Both a sound"),
        ({"speed": "fast"}, 400, "OptionError", "speed"),
        ({"nose": "x"}, 400, "OptionError", "a field 'nose'"),
    ],
)
def test_what_cannot_be_is_refused_with_reasons(
    anna: Any, media: dict[str, Path], fields: dict[str, Any], status: int, kind: str, message: str
) -> None:
    answer = ordered(anna, media, **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, kind)
    assert message in error["message"]
    assert set(error) == {"type", "message", "accepted", "remedy"}
    assert anna.get("/v1/videos").json()["data"] == []


def test_other_bodies_are_refused(anna: Any, media: dict[str, Path]) -> None:
    def refused(**more: Any) -> tuple[int, str]:
        answer = anna.post("/v1/videos", **more)
        return answer.status_code, answer.json()["error"]["type"]

    assert refused(content=b"x", headers={"content-type": "text/plain"})[0] == 415
    assert refused(json={"text": "Hi.", "face": "/etc/passwd"}) == (400, "OptionError")
    assert refused(json={"text": "Hi.", "face": "file:///etc/passwd"}) == (400, "OptionError")
    assert refused(json=[1]) == (400, "OptionError")
    assert refused(content=b"{", headers={"content-type": "application/json"})[0] == 400
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert refused(content=b"--x\r\nnonsense", headers=broken) == (400, "UnreadableMedia")
    large = {**sent(media, "audio"), "face": ("me.png", bytes(1_100_000))}
    assert refused(files=large, data={"model": "stripes"}) == (413, "TooMuch")
    no_media = {**sent(media, "audio"), "face": ("me.png", b"x")}
    assert refused(files=no_media, data={"model": "stripes"}) == (400, "UnreadableMedia")
    assert anna.get("/nothing").json()["error"]["message"] == "There is nothing at that address."
    assert anna.put("/v1/videos").status_code == 405
    assert anna.get("/v1/videos?limit=x").json()["error"]["type"] == "InvalidRequest"


def test_a_video_that_fails_says_why(anna: Any, media: dict[str, Path]) -> None:
    done = ended(anna, ordered(anna, media, options={"model": {"fail_at": 3}}).json()["id"])
    assert done["status"] == "failed"
    assert done["error"]["type"] == "InternalError"
    assert "paint" not in done["error"]["message"]
    assert anna.get(f"/v1/videos/{done['id']}/content").status_code == 422
    text = anna.get("/metrics").text
    assert 'talkinghead_failures_total{kind="InternalError"}' in text
    for name in ("videos_waiting", "videos_working", "stage_seconds_total", "realtime_factor_bucket", "answers_total"):
        assert f"talkinghead_{name}" in text


def test_events_go_on_where_they_were_cut_off(anna: Any, media: dict[str, Path]) -> None:
    video = ordered(anna, media, options=SLOW).json()["id"]
    with anna.stream("GET", f"/v1/videos/{video}/events") as events:
        seen: list[int] = []
        for line in events.iter_lines():
            if line.startswith("id: "):
                seen.append(int(line[4:]))
            if len(seen) == 4:
                break
    with anna.stream("GET", f"/v1/videos/{video}/events", headers={"Last-Event-ID": str(seen[-1])}) as events:
        lines = list(events.iter_lines())
    later = [int(line[4:]) for line in lines if line.startswith("id: ")]
    assert seen + later == sorted({*seen, *later})
    states = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert states[-1]["status"] == "completed"
    assert any(state["stage_title"] == "Making the video" for state in states)
    over = anna.get(f"/v1/videos/{video}/events", headers={"Last-Event-ID": str(later[-1])})
    assert over.status_code == 204


def test_cancelling_stops_within_a_moment_and_leaves_nothing(anna: Any, media: dict[str, Path]) -> None:
    video = ordered(anna, media, options={"model": {"delay_s": 0.3}}).json()["id"]
    with anna.stream("GET", f"/v1/videos/{video}/events") as events:
        lines = events.iter_lines()
        while "in_progress" not in next(lines):
            pass
        with client_of_same(anna) as other:
            assert other.delete(f"/v1/videos/{video}").status_code == 200
        assert '"status":"cancelled"' in list(lines)[-2]
    assert ordered(anna, media).status_code == 202  # and the next one has its place


def client_of_same(client: Any) -> Any:
    import httpx

    return httpx.Client(base_url=client.base_url, headers=client.headers, timeout=60)


def test_a_video_is_watched_while_it_is_made(anna: Any, media: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "got.mp4"
    with anna.stream(
        "POST",
        "/v1/videos?stream=true",
        files=sent(media),
        data={"model": "stripes", "options": json.dumps({"model": {"delay_s": 0.02}, "encoding": {"gop_s": 0.2}})},
    ) as answer:
        assert answer.headers["content-type"] == "video/mp4"
        video = answer.headers["x-video-id"]
        parts = answer.iter_bytes()
        first = next(parts)
        assert first[4:8] == b"ftyp"
        path.write_bytes(first + b"".join(parts))
    found = probe(path)
    assert (found.video[0].num_frames, found.video[0].start_s) == (25, 0.0)
    assert ended(anna, video)["status"] == "completed"
    whole = anna.get(f"/v1/videos/{video}/content").content
    assert path.read_bytes() == whole == anna.get(f"/v1/videos/{video}/stream").content
    failing = anna.post(
        "/v1/videos?stream=true", files=sent(media), data={"model": "stripes", "options": '{"model": {"fail_at": 0}}'}
    )
    assert (failing.status_code, failing.json()["error"]["type"]) == (422, "InternalError")


def test_lines_have_an_end(stripes: None, media: dict[str, Path]) -> None:
    with opened(max_waiting=1, max_own=3) as running, client_of(running) as anna, client_of(running, "ben") as ben:
        slow = {"model": {"delay_s": 0.3}}
        assert [ordered(anna, media, options=slow).status_code for _ in range(2)] == [202, 202]
        full = ordered(ben, media)
        assert (full.status_code, full.json()["error"]["type"]) == (429, "TooOften")
        assert int(full.headers["retry-after"]) >= 1
        assert 'videos_waiting{model="stripes"} 1.0' in anna.get("/metrics").text
    with opened(max_own=1) as running, client_of(running) as anna:
        assert ordered(anna, media, options=slow).status_code == 202
        assert ordered(anna, media).status_code == 429
    with opened(per_minute=1) as running, client_of(running) as anna:
        assert [ordered(anna, media).status_code for _ in range(2)] == [202, 429]


def test_what_there_is_to_choose_from(anna: Any) -> None:
    models = {row["name"]: row for row in anna.get("/v1/models").json()["data"]}
    assert models["stripes"]["ready"] is True
    assert "delay_s" in models["stripes"]["options"]["model"]
    assert {row["engine"] for row in anna.get("/v1/voices").json()["data"]} >= {"espeak", "piper"}


def test_the_description_is_whole_without_a_network(anna: Any) -> None:
    found = anna.get("/openapi.json").json()
    order = found["paths"]["/v1/videos"]["post"]["requestBody"]["content"]
    assert set(order) == {"multipart/form-data", "application/json"}
    assert order["application/json"]["examples"]
    page = anna.get("/docs")
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(", page.text)
    for path in found["paths"]:
        assert path in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_pages_elsewhere_cannot_ask(stripes: None) -> None:
    with opened(tokens=()) as running, client_of(running, None) as client:
        assert client.get("/v1/videos").status_code == 200
        assert client.get("/v1/videos", headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.get("/v1/videos", headers={"Host": "evil.example"}).status_code == 403
        assert client.get("/healthz", headers={"Host": "10.1.2.3"}).status_code == 200
