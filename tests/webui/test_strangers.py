"""What a stranger sends to a server that runs, kind by kind: nothing of the machine comes back or is held up."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.webui.conftest import served_with

gradio_client = pytest.importorskip("gradio_client")
BOUNDARY = "x" * 20
FOUND = "root:"
"""What stands in /etc/passwd."""


def ask(
    url: str, body: bytes | None = None, headers: dict[str, str] | None = None, method: str | None = None
) -> tuple[int, str, Any]:
    """Status, text and headers of an answer."""
    request = urllib.request.Request(url, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode(errors="replace"), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace"), error.headers


def call(url: str, name: str, data: list[Any] | dict[str, Any], **more: Any) -> tuple[int, str]:
    """Call an endpoint as curl would, without a session, and read its events to the end."""
    body = json.dumps(data if isinstance(data, dict) else {"data": data, **more}).encode()
    way = "call/v2" if isinstance(data, dict) else "call"
    status, text, _ = ask(f"{url}gradio_api/{way}/{name}", body, {"Content-Type": "application/json"})
    if status != 200:
        return status, text
    event = json.loads(text)["event_id"]
    status, text, _ = ask(f"{url}gradio_api/{way}/{name}/{event}")
    return status, text


def form(name: str, content: bytes, field: str = 'name="files"; filename="{}"') -> tuple[bytes, dict[str, str]]:
    """A form with one file, and its headers."""
    begin = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {field.format(name)}\r\n\r\n".encode()
    body = begin + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def upload(url: str, path: Path) -> tuple[int, Any]:
    status, text, _ = ask(f"{url}gradio_api/upload", *form(path.name, path.read_bytes()))
    return status, json.loads(text)


@pytest.fixture(scope="module")
def client(served: Any) -> Iterator[Any]:
    made = gradio_client.Client(served.url, verbose=False, download_files=False)
    yield made
    made.close()


def refused(client: Any, name: str, **values: Any) -> str:
    """The error of a call; it comes at once."""
    started = time.monotonic()
    with pytest.raises(Exception) as caught:  # noqa: PT011 - what the client makes of it
        client.predict(**values, api_name=f"/{name}")
    assert time.monotonic() - started < 20
    told = str(caught.value)
    assert len(told) < 1_000
    return told


# Paths as texts -------------------------------------------------------------------------------------------------------

TEXTS = ("source", "model", "checkpoint", "voice", "engine", "lang")
PLACES = ("{face}", "{absent}")
"""Others are tried without a server: see `test_studio`."""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("field", TEXTS)
def test_a_text_is_never_a_path(client: Any, face: Path, field: str, place: str) -> None:
    text = place.format(face=face, absent=face.with_name("absent.png"))
    given: dict[str, Any] = {"source": "Portrait", "text": "Hi.", field: text}
    told = refused(client, "generate", **given)
    assert str(face.parent) not in told
    assert FOUND not in told
    if field in ("source", "model", "checkpoint"):
        del given["text"]
        assert str(face.parent) not in refused(client, "preview", **{k: v for k, v in given.items() if k != "voice"})
    else:
        assert str(face.parent) not in refused(client, "speak", **{"text": "Hi.", field: text})


def test_what_is_there_and_what_is_not_sound_alike(client: Any, face: Path) -> None:
    told = {
        re.sub(r"'.*?'", "", refused(client, "preview", source=str(path)))
        for path in (face, face.with_name("absent.png"), Path("/etc/passwd"), Path("/etc"), Path("/etc/absent/x"))
    }
    assert len(told) == 1


@pytest.mark.parametrize(
    ("group", "field"), [("model", "style"), ("finding", "detector_model"), ("machine", "device"), ("/etc", "passwd")]
)
def test_no_option_takes_a_path(client: Any, group: str, field: str) -> None:
    told = refused(client, "preview", source="Portrait", options={group: {field: "/etc/passwd"}})
    assert FOUND not in told
    assert "No such file" not in told


# Files and addresses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "{face}", "http://localtest.example/a.png", "https://localtest.example/a.png", "file:///etc/passwd",
     "data:image/png;base64,iVBORw0KGgo=", "//localtest.example/a", "pyproject.toml", "{face}/../me.png"],
)  # fmt: skip
@pytest.mark.parametrize(
    "meta", [{}, {"meta": {"_type": "gradio.FileData"}}, {"url": "http://localtest.example/b.png"}]
)
def test_only_what_was_uploaded_is_a_file(
    served: Any, face: Path, path: str, meta: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    asked: list[Any] = []
    plain = socket.getaddrinfo

    def looked_up(host: Any, *more: Any, **named: Any) -> Any:
        asked.append(host)
        return plain(host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    value = {"path": path.format(face=face), **meta}
    status, text = call(served.url, "preview", [value, "X", 0, [], False, "viseme", "", "", {}])
    assert status == 400
    assert "names a file that is not here" in text
    status, _ = call(served.url, "preview", {"face": value})
    assert status == 400
    assert not [host for host in asked if "example" in str(host)]


def preview_of(url: str, path: str, session: str) -> str:
    sent = {"path": path, "meta": {"_type": "gradio.FileData"}}
    status, text = call(url, "preview", [sent, "X", 0, [], False, "viseme", "", "", {}], session_hash=session)
    assert status == 200
    return text


@pytest.mark.thorough
def test_one_visitor_cannot_use_what_another_sent(served: Any, face: Path) -> None:
    status, (path,) = upload(served.url, face)
    assert status == 200
    assert "face of" in preview_of(served.url, path, "anna1234")
    assert "no file that you have sent" in preview_of(served.url, path, "berta123")
    assert "face of" in preview_of(served.url, path, "anna1234")


@pytest.mark.thorough
def test_uploads_go_when_the_page_is_closed(served: Any, face: Path) -> None:
    status, (path,) = upload(served.url, face)
    assert status == 200
    with urllib.request.urlopen(f"{served.url}gradio_api/heartbeat/clara123", timeout=60) as page:
        assert page.read(5) == b"data:"
        assert "face of" in preview_of(served.url, path, "clara123")
        assert Path(path).is_file()
    end = time.monotonic() + 60
    while Path(path).exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not Path(path).exists()
    assert not Path(path).parent.exists()


# Names, origins, addresses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8960"},
        {"Host": "192.168.1.5"},
        {"Host": "[2001:db8::1]"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Gradio-Server": "http://evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
@pytest.mark.parametrize(
    "path", ["", "config", "gradio_api/info", "gradio_api/queue/join", "gradio_api/upload", "login"]
)
def test_other_hosts_and_origins_are_not_served(served: Any, path: str, headers: dict[str, str]) -> None:
    body = b"{}" if path in ("gradio_api/queue/join", "gradio_api/upload", "login") else None
    status, text, answer = ask(served.url + path, body, headers)
    assert status == 403
    assert "not" in json.loads(text)["detail"]
    assert answer["Access-Control-Allow-Origin"] is None
    status, _, answer = ask(served.url + path, None, {**headers, "Access-Control-Request-Method": "POST"}, "OPTIONS")
    assert status in (403, 405)
    assert answer["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:8960"])
def test_names_of_this_machine_are(served: Any, host: str) -> None:
    status, text, _ = ask(served.url, None, {"Host": host})
    assert status == 200
    assert "talkinghead" in text


@pytest.mark.thorough
def test_names_that_were_given_are_served() -> None:
    from talkinghead.webui import AppOptions

    with served_with(AppOptions(port=0, allow_host="th.example.org")) as app:
        for headers in (
            {"Host": "th.example.org"},
            {"X-Forwarded-Host": "th.example.org", "Origin": "https://th.example.org"},
        ):
            assert ask(app.url, None, headers)[0] == 200
        assert ask(app.url, None, {"Host": "evil.example"})[0] == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "monitoring"),
        ("GET", "gradio_api/token"),
        ("GET", "gradio_api/deep_link?session_hash=x"),
        ("POST", "gradio_api/component_server"),
        ("POST", "gradio_api/process_recording"),
        ("GET", "gradio_api/vibe-code"),
        ("POST", "gradio_api/vibe-edit"),
        ("GET", "gradio_api/proxy=http://localtest.example/"),
        ("GET", "docs"),
        ("GET", "gradio_api/stream/x/y/0/playlist.m3u8"),
        ("GET", "gradio_api/dev/reload"),
        ("GET", "?deep_link=../x"),
        ("GET", "gradio_api/file=http://localtest.example/a.png"),
        ("GET", "gradio_api/file=/etc/passwd"),
        ("GET", "gradio_api/file/etc/passwd"),
        ("GET", "gradio_api/file=..%2f..%2fetc%2fpasswd"),
        ("PUT", "config"),
        ("GET", "gradio_api/custom_component/x/y/z/a"),
        ("DELETE", "gradio_api/upload"),
        ("GET", "gradio_api/heartbeat/x"),
        ("GET", "static/%2e%2e/%2e%2e/%2e%2e/etc/passwd"),
        ("GET", "gradio_api/profiling/traces"),
        ("GET", "login"),
    ],
)
def test_only_what_the_page_needs_is_there(served: Any, method: str, path: str) -> None:
    body = b"{}" if method in ("POST", "PUT") else None
    status, text, _ = ask(served.url + path, body, method=method)
    assert status in (400, 403, 404, 405)
    assert FOUND not in text
    assert "Traceback" not in text


# Numbers and bodies ---------------------------------------------------------------------------------------------------

NUMBERS = [
    ("video", "fps", "1e40000000"), ("video", "fps", "0.0000001"), ("finding", "smoothing", 1_000_000_000),
    ("finding", "padding", [0] * 900), ("model", "seed", 10**19 - 1),
]  # fmt: skip
"""Others are tried without a server: see `test_studio`."""


@pytest.mark.parametrize(("group", "field", "value"), NUMBERS)
def test_numbers_have_bounds(client: Any, group: str, field: str, value: Any) -> None:
    told = refused(client, "generate", source="Portrait", text="Hi.", options={group: {field: value}})
    assert "Accepted" in told


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 4500, '"' + "x" * 200_000 + '"', "[" * 5000]
)
def test_bodies_are_json_with_finite_numbers_and_short_texts(served: Any, text: str) -> None:
    body = f'{{"data": ["Hi.", "en", "", "auto", {text}]}}'.encode()
    status, told, _ = ask(f"{served.url}gradio_api/call/speak", body, {"Content-Type": "application/json"})
    assert status == 400
    assert len(told) < 300


def test_bodies_have_a_length(served: Any) -> None:
    body = b'{"data": ["' + b" " * 3_000_000 + b'"]}'
    assert ask(f"{served.url}gradio_api/call/speak", body, {"Content-Type": "application/json"})[0] == 413


@pytest.mark.parametrize("values", [{"speed": 1e300}, {"speed": -1}, {"text": "x" * 99_999}, {"lang": "x" * 500}])
def test_speech_has_bounds(client: Any, values: dict[str, Any]) -> None:
    assert "Accepted" in refused(client, "speak", **{"text": "Hi.", **values})


@pytest.mark.parametrize("at_s", [1e300, -5])
def test_the_moment_of_a_preview_has_bounds(client: Any, at_s: float) -> None:
    assert "Accepted" in refused(client, "preview", source="Portrait", at_s=at_s)


# Uploads --------------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_all_uploads_of_a_visitor_together_have_a_limit(tmp_path: Path) -> None:
    from talkinghead.webui import AppOptions

    large = tmp_path / "a.wav"
    large.write_bytes(b"\0" * 900_000)
    with served_with(AppOptions(port=0, max_upload_mb=1, max_uploads_mb=2)) as app:
        answers = []
        for number in range(6):
            body, headers = form(f"{number}.wav", large.read_bytes())
            told = {**headers, "X-Forwarded-For": f"9.9.9.{number}"}
            answers.append(ask(f"{app.url}gradio_api/upload", body, told)[0])
        assert answers == [200, 200, 413, 413, 413, 413]


@pytest.mark.parametrize(
    ("field", "content", "status"),
    [('name="text"', b"x", 400), ('name="files"; filename="a.png"', b"\0" * 20_000_001, 413)],
)
def test_uploads_are_files_of_a_limited_size(served: Any, field: str, content: bytes, status: int) -> None:
    body, headers = form("a.png", content, field)
    assert ask(f"{served.url}gradio_api/upload", body, headers)[0] == status


def test_names_of_uploads_lead_nowhere(served: Any) -> None:
    body, headers = form("../../../escaped.png", b"x")
    (path,) = json.loads(ask(f"{served.url}gradio_api/upload", body, headers)[1])
    assert Path(path).name == "escaped.png"
    assert Path(path).parent.parent.name == "uploads"


# What is told ---------------------------------------------------------------------------------------------------------


def test_unexpected_errors_are_a_sentence_with_a_number(
    served: Any, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from talkinghead.hosting.workshop import Workshop
    from talkinghead.webui.studio import Studio

    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError("/home/anna/secret")

    monkeypatch.setattr(Studio, "start_preview", fail)
    monkeypatch.setattr(Workshop, "models", fail)
    for name, values in (("preview", {"source": "Portrait"}), ("models", {})):
        told = refused(client, name, **values)
        assert "secret" not in told
        number = re.search(r"number ([0-9a-f]{8})", told)
        assert number is not None
        assert number[1] in caplog.text


@pytest.mark.thorough
@pytest.mark.parametrize(
    "values", [{"layers": ["nose"]}, {"shape": "/etc/passwd"}, {"layers": {"a": 1}}, {"options": [1]}]
)
def test_values_of_another_kind_are_told_nothing_of_the_inside(client: Any, values: dict[str, Any]) -> None:
    told = refused(client, "preview", source="Portrait", **values)
    assert "site-packages" not in told
    assert FOUND not in told


# Sessions -------------------------------------------------------------------------------------------------------------


def test_calls_without_a_session_do_not_pile_up(served: Any) -> None:
    import gc

    from gradio.state_holder import StateHolder

    for _ in range(5):
        assert call(served.url, "cancel", [])[0] == 200
    holders = [thing for thing in gc.get_objects() if type(thing) is StateHolder and thing.session_data]
    assert holders
    assert all(holder.capacity <= 200 for holder in holders)


@pytest.mark.thorough
def test_jobs_of_others_cannot_be_cancelled_without_a_session(served: Any, client: Any) -> None:
    job = client.submit(text="One two three four five six seven.", source="Portrait", api_name="/generate")
    try:
        for _ in range(3):
            status, text = call(served.url, "cancel", [])
            assert status == 200
            assert "[0]" in text
        assert job.result(timeout=120)[3]["num_frames"] > 10
    finally:
        job.cancel()


# Passwords ------------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_passwords_cannot_be_guessed_quickly_and_the_right_user_comes_in() -> None:
    from talkinghead.webui import AppOptions

    def enter(url: str, password: str, **headers: str) -> tuple[int, str, Any]:
        body = urllib.parse.urlencode({"username": "anna", "password": password}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return ask(f"{url}login", body, {**kind, **{name.replace("_", "-"): value for name, value in headers.items()}})

    with served_with(AppOptions(port=0, auth="anna:secret")) as app:
        status, _, headers = enter(app.url, "secret")
        assert status == 200
        device = next(line for line in headers.get_all("Set-Cookie") if line.startswith("talkinghead-entered="))
        assert "HttpOnly" in device
        assert "SameSite=Strict" in device
        answers = [enter(app.url, f"wrong{i}", X_Forwarded_For=f"9.9.9.{i}") for i in range(30)]
        assert sum(status == 400 for status, _, _ in answers) <= 6
        status, text, headers = answers[-1]
        assert status == 429
        assert 0 < int(headers["Retry-After"]) <= 11
        assert "seconds" in text
        assert enter(app.url, "secret")[0] == 429  # for seconds, from this address
        assert enter(app.url, "secret", Cookie=device.partition(";")[0])[0] == 200
        for path in (
            "config",
            "gradio_api/info",
            "gradio_api/queue/data?session_hash=abcdef",
            "gradio_api/heartbeat/abcdef",
        ):
            assert ask(app.url + path)[0] == 401, path
        for path in ("gradio_api/upload", "gradio_api/cancel", "gradio_api/queue/join", "gradio_api/call/speak"):
            assert ask(app.url + path, b"{}")[0] == 401, path
        assert ask(f"{app.url}login", b"x" * 20_000)[0] == 413


# Dead servers ---------------------------------------------------------------------------------------------------------


@pytest.mark.thorough
def test_a_server_sweeps_what_a_killed_one_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    from talkinghead.webui import AppOptions
    from tests.hosting.test_folders import ended, started

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, left = started(tmp_path)
    ended(dead)
    with served_with(AppOptions(port=0)) as app:
        assert not left.exists()
        assert ask(app.url)[0] == 200
        assert (
            len([path for path in tmp_path.iterdir() if path.is_dir() and path.name.startswith("talkinghead-app-")])
            == 1
        )
    assert os.listdir(tmp_path) == []


# The page's own actions -----------------------------------------------------------------------------------------------


def press(url: str, button: str, session: str, **values: Any) -> str:
    """Press a button of the page as its script does, with other values of inputs by their ids; gives the events."""
    config = json.loads(ask(f"{url}config")[1])
    known = {component["id"]: component["props"] for component in config["components"]}
    pressed = next(number for number, props in known.items() if props.get("elem_id") == button)
    action = next(
        action
        for action in config["dependencies"]
        if action["backend_fn"] and [pressed, "click"] in [list(target) for target in action["targets"]]
    )
    data = [values.get(str(known[i].get("elem_id")).replace("-", "_"), known[i].get("value")) for i in action["inputs"]]
    call = {"data": data, "fn_index": action["id"], "session_hash": session, "trigger_id": pressed, "event_data": None}
    status, text, _ = ask(
        f"{url}gradio_api/queue/join", json.dumps(call).encode(), {"Content-Type": "application/json"}
    )
    if status != 200:
        return text
    return ask(f"{url}gradio_api/queue/data?session_hash={session}")[1]


def sent(url: str, path: Path) -> dict[str, Any]:
    status, (place,) = upload(url, path)
    assert status == 200
    return {"path": place, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}, "url": "http://evil.example/x"}


@pytest.mark.thorough
@pytest.mark.parametrize("where", ["portrait", "file", "photo"])
def test_the_page_makes_and_shows(served: Any, face: Path, voice: Path, where: str) -> None:
    picture, session = sent(served.url, face), f"page-{where}"
    given = {"portrait": {}, "file": {"face_drop": picture["path"]}, "photo": {"photo": picture}}[where]
    told = press(served.url, "look", session, **given)
    assert "pixels" in told
    assert "th-error" not in told
    told = press(served.url, "go", session, **given, sound_from="File", sound_drop=sent(served.url, voice)["path"])
    assert "0.5 s of video" in told
    assert "th-error" not in told


def test_the_page_takes_no_path_either(served: Any, face: Path, voice: Path) -> None:
    other = {"path": str(face), "meta": {"_type": "gradio.FileData"}}
    assert "names a file that is not here" in press(served.url, "go", "page1234", photo=other)
    sound = sent(served.url, voice)["path"]
    ours: list[dict[str, Any]] = [{"portraits": str(face)}, {"face_drop": str(face)}, {"models": str(face)}]
    for values in (*ours, {"sound_drop": str(voice)}):
        told = press(served.url, "go", "page1234", **{"sound_from": "File", "sound_drop": sound, **values})
        assert "th-error" in told or '"success":false' in told
        assert "Done" not in told
        assert str(face.parent) not in told
    assert "th-error" in press(served.url, "look", "page1234", shape=99, layers=3)
