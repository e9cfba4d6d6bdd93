"""The HTTP API through Gradio's own client, and what the server gives to whom."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from talkinghead.media import probe
from tests.synthetic_media import make_sound

gradio_client = pytest.importorskip("gradio_client")


@pytest.fixture(scope="module")
def client(served: Any) -> Iterator[Any]:
    made = gradio_client.Client(served.url, verbose=False, download_files=False)
    yield made
    made.close()


def fetch(url: str) -> tuple[int, Any]:
    """Status and headers."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            answer.read()
            return answer.status, answer.headers
    except urllib.error.HTTPError as error:
        with error:
            error.read()
            return error.code, error.headers


@pytest.mark.thorough
def test_generate_and_download(served: Any, face: Path, voice: Path, tmp_path: Path) -> None:
    made = gradio_client.Client(served.url, verbose=False, download_files=str(tmp_path))
    try:
        video, motion, cues, report = made.predict(
            face=gradio_client.handle_file(str(face)),
            sound=gradio_client.handle_file(str(voice)),
            options={"model": {"idle_motion": False}, "encoding": {"crf": 30}},
            api_name="/generate",
        )
    finally:
        made.close()
    assert probe(video).main_video.num_frames == 13  # type: ignore[union-attr]
    assert Path(motion).suffix == ".npz"
    assert "mouthCues" in json.loads(Path(cues).read_text())
    assert report["model_details"]["idle_motion"] is False
    assert "/" not in report["output"]


def test_models_and_speech(client: Any) -> None:
    rows = {row["name"]: row for row in client.predict(api_name="/models")}
    assert rows["viseme"]["ready"]
    assert "pull wav2lip-gan" in rows["wav2lip"]["remedy"]
    assert rows["viseme"]["options"]["model"]["strength"]["default"] == 1.0
    assert "profile" not in rows["wav2lip"]["options"]["model"]
    assert client.predict(api_name="/cancel") == 0


@pytest.mark.thorough
def test_text_becomes_a_video_of_a_gallery_face(client: Any) -> None:
    pytest.importorskip("espeakng_loader")
    *_, report = client.predict(text="Hello.", lang="en", source="Portrait", api_name="/generate")
    assert report["model_details"]["phones"] == "given"


@pytest.mark.thorough
def test_preview(client: Any, face: Path) -> None:
    picture, sentence = client.predict(
        face=gradio_client.handle_file(str(face)), shape="D", layers=["box"], api_name="/preview"
    )
    assert "face of" in sentence
    assert picture


def test_errors_arrive_as_sentences(client: Any, voice: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="No face is given"):
        client.predict(sound=gradio_client.handle_file(str(voice)), api_name="/generate")
    fake = tmp_path / "fake.png"
    fake.write_text("no picture")
    with pytest.raises(Exception, match=r"fake\.png") as caught:
        client.predict(
            face=gradio_client.handle_file(str(fake)),
            sound=gradio_client.handle_file(str(make_sound(tmp_path / "a.wav", 0.2))),
            api_name="/generate",
        )
    assert "/tmp" not in str(caught.value)


@pytest.mark.thorough
def test_one_visitors_files_are_not_for_another(served: Any, client: Any, face: Path, voice: Path) -> None:
    video, *_ = client.predict(
        face=gradio_client.handle_file(str(face)), sound=gradio_client.handle_file(str(voice)), api_name="/generate"
    )
    path = video["path"] if isinstance(video, dict) else video
    assert len(next(part for part in Path(path).parts if part.startswith("session-"))) > 32
    base = f"{served.url}gradio_api/file="
    for wrong in (
        str(Path(path).parents[2]),
        str(Path(path).parents[1]),
        "/etc/passwd",
        str(Path(__file__)),
        "pyproject.toml",
        "../pyproject.toml",
        str(voice),
    ):
        status, _ = fetch(base + wrong)
        assert status in (403, 404), wrong


def test_a_path_of_the_server_is_no_upload(client: Any, voice: Path) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever gradio says, it is not read
        client.predict(
            face={"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
            sound=gradio_client.handle_file(str(voice)),
            api_name="/generate",
        )


@pytest.mark.thorough
def test_a_closed_page_leaves_no_files(served: Any, face: Path, voice: Path) -> None:
    import time

    made = gradio_client.Client(served.url, verbose=False, download_files=False)
    video, *_ = made.predict(
        face=gradio_client.handle_file(str(face)), sound=gradio_client.handle_file(str(voice)), api_name="/generate"
    )
    path = Path(video["path"] if isinstance(video, dict) else video)
    assert path.is_file()
    made.close()
    end = time.monotonic() + 60
    while path.exists() and time.monotonic() < end:
        time.sleep(0.2)
    assert not path.exists()


def test_the_server_keeps_the_browser_at_home_and_fetches_nothing(served: Any) -> None:
    status, headers = fetch(served.url)
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert headers["Referrer-Policy"] == "no-referrer"
    assert fetch(f"{served.url}gradio_api/file=https://example.com/a.png")[0] == 403


def test_uploads_have_a_limit(served: Any) -> None:
    boundary = "x" * 20
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="big.wav"\r\n\r\n'.encode()
        + b"\0" * 21_000_000
        + f"\r\n--{boundary}--\r\n".encode()
    )
    request = urllib.request.Request(
        f"{served.url}gradio_api/upload",
        body,
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=60)
    caught.value.close()
    assert caught.value.code == 413


@pytest.mark.thorough
def test_a_password_keeps_others_out() -> None:
    from talkinghead.webui import AppOptions
    from tests.webui.conftest import served_with

    with served_with(AppOptions(port=0, auth="anna:secret")) as app:
        assert fetch(f"{app.url}config")[0] == 401
        entered = gradio_client.Client(app.url, auth=("anna", "secret"), verbose=False)
        assert entered.predict(api_name="/cancel") == 0
        entered.close()
        with pytest.raises(Exception, match=r"(?i)auth|login|credentials|password"):
            gradio_client.Client(app.url, auth=("anna", "wrong"), verbose=False)


@pytest.fixture
def tunnel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Gradio's way to its relay, which is elsewhere: what was asked of it, and what it does."""
    from gradio import networking, tunneling

    class Tunnel:
        asked: tuple[Any, ...] = ()
        killed = False
        error: Exception | None = None

        def kill(self) -> None:
            self.killed = True

    made = Tunnel()

    def setup_tunnel(*arguments: Any) -> str:
        made.asked = arguments
        tunneling.CURRENT_TUNNELS.append(made)  # type: ignore[arg-type]
        if made.error is not None:
            raise made.error
        return "http://abc123.gradio.live"

    monkeypatch.setattr(networking, "setup_tunnel", setup_tunnel)
    for name in ("TALKINGHEAD_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    yield made
    if made in tunneling.CURRENT_TUNNELS:
        tunneling.CURRENT_TUNNELS.remove(made)  # type: ignore[arg-type]


@pytest.mark.thorough
def test_a_public_page_is_whole_and_loads_nothing_from_elsewhere(tunnel: Any) -> None:
    import re

    from talkinghead.webui import AppOptions
    from tests.webui.conftest import served_with

    with served_with(AppOptions(port=0, share=True)) as app:
        assert app.share_url == "https://abc123.gradio.live"
        assert tunnel.asked[:2] == ("127.0.0.1", app.port)
        request = urllib.request.Request(app.url, headers={"Host": "abc123.gradio.live", "X-Forwarded-Proto": "https"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            page = answer.read().decode()
        assert '"root":"https://abc123.gradio.live"' in page
        loaded = re.findall(r"<(?:script|link)[^>]*(?:src|href)=\"([^\"]+)\"", page)
        assert any(address.endswith(".js") for address in loaded)
        assert not [address for address in loaded if "://" in address]
        with urllib.request.urlopen(f"{app.url}robots.txt", timeout=60) as answer:
            assert b"Disallow: /\n" in answer.read()
        assert not tunnel.killed
    assert tunnel.killed


@pytest.mark.thorough
def test_a_page_that_cannot_be_published_is_not_served(tunnel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.errors import OptionError
    from talkinghead.webui import AppOptions, open_app

    tunnel.error = RuntimeError("Could not get share link from Gradio API Server.")
    with pytest.raises(OptionError, match="cannot be published") as caught, open_app(AppOptions(port=0, share=True)):
        pass
    assert "share link" in str(caught.value)
    assert tunnel.killed
    tunnel.asked = ()
    monkeypatch.setenv("TALKINGHEAD_OFFLINE", "1")
    with pytest.raises(OptionError, match="TALKINGHEAD_OFFLINE"), open_app(AppOptions(port=0, share=True)):
        pass
    assert tunnel.asked == ()


@pytest.mark.thorough
def test_never_published_unless_asked(tunnel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from talkinghead.webui import AppOptions
    from tests.webui.conftest import served_with

    monkeypatch.setenv("GRADIO_SHARE", "true")
    with served_with(AppOptions(port=0)) as app:
        assert app.share_url is None
    assert tunnel.asked == ()


@pytest.mark.thorough
def test_a_taken_port_is_a_sentence(served: Any) -> None:
    from talkinghead.errors import OptionError
    from talkinghead.webui import AppOptions, open_app

    with pytest.raises(OptionError, match=f"127.0.0.1:{served.port}"), open_app(AppOptions(port=served.port)):
        pass


@pytest.mark.thorough
def test_the_example_of_the_documentation_runs(
    served: Any, face: Path, voice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    import re
    import shutil

    from tests.conftest import ROOT

    code = "\n".join(re.findall(r"^```py\n(.*?)^```", (ROOT / "docs" / "web.md").read_text(), re.M | re.S))
    shutil.copy(face, tmp_path / "me.jpg")
    shutil.copy(voice, tmp_path / "hello.wav")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    try:
        exec(compile(code.replace("http://127.0.0.1:8960/", served.url), "web.md", "exec"), names)
    finally:
        names["client"].close()
    out = capsys.readouterr().out
    assert "face of" in out
    assert "viseme True" in out
