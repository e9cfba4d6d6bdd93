"""A service with the model for tests in it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from talkinghead.registry import FAMILIES
from tests.stripes import FACTS
from tests.synthetic_media import make_sound, make_video

OTHERS = ("fastapi", "starlette", "uvicorn", "httpx", "anyio", "prometheus_client", "python_multipart", "pydantic")
TOKENS = {"anna": "anna-" + "a" * 20, "ben": "ben-" + "b" * 20}
WAIT_S = 60.0
Open = Callable[..., AbstractContextManager[Any]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deprecations of other packages are not ours to fix; every other warning stays an error."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            for module in OTHERS:
                for category in ("DeprecationWarning", "PendingDeprecationWarning"):
                    item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}:{module}.*"))


@pytest.fixture(scope="session", autouse=True)
def _packages() -> None:
    for name in ("fastapi", "httpx", "prometheus_client", "python_multipart", "uvicorn"):
        pytest.importorskip(name)


@pytest.fixture(scope="module")
def stripes() -> Iterator[None]:
    """The model for tests is there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, FACTS.name, FACTS)  # type: ignore[arg-type]
        yield


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A face and a second of sound."""
    folder = tmp_path_factory.mktemp("serve-media")
    return {"face": make_video(folder / "me.mp4", 30), "audio": make_sound(folder / "hello.wav", 1.0)}


def hashed(names: dict[str, str]) -> list[tuple[str, str]]:
    return [(name, hashlib.sha256(token.encode()).hexdigest()) for name, token in names.items()]


@contextmanager
def opened(**options: Any) -> Iterator[Any]:
    """A service, and clients of it by the name of their token."""
    from talkinghead.serve import ServeOptions, open_service

    more = {name: options.pop(name) for name in ("allow_addresses", "folders", "tokens") if name in options}
    more.setdefault("tokens", hashed(TOKENS))
    settings = {"port": 0, "max_minutes": 0.1, "max_upload_mb": 1, "per_minute": 100_000, **options}
    with open_service(ServeOptions(**settings), **more) as running:
        yield running


def client_of(running: Any, name: str | None = "anna") -> Any:
    import httpx

    headers = {"Authorization": f"Bearer {TOKENS[name]}"} if name else {}
    return httpx.Client(base_url=running.url, headers=headers, timeout=WAIT_S)


@pytest.fixture(scope="module")
def running(stripes: None) -> Iterator[Any]:
    """A service for all tests that change nothing of it."""
    with opened() as service:
        yield service


@pytest.fixture
def anna(running: Any) -> Iterator[Any]:
    """A client; what it ordered is removed afterwards."""
    with client_of(running, "anna") as client:
        yield client
        for video in client.get("/v1/videos", params={"limit": 100}).json()["data"]:
            client.delete(f"/v1/videos/{video['id']}")


@pytest.fixture
def ben(running: Any) -> Iterator[Any]:
    with client_of(running, "ben") as client:
        yield client


def sent(media: dict[str, Path], *names: str) -> dict[str, Any]:
    """Files of a form."""
    return {name: (media[name].name, media[name].read_bytes()) for name in names or media}


def ordered(client: Any, media: dict[str, Path], headers: dict[str, str] | None = None, **fields: Any) -> Any:
    """Order a video of the model for tests."""
    import json

    options = fields.pop("options", {})
    data = {"model": "stripes", "options": json.dumps(options), **fields}
    return client.post("/v1/videos", files=sent(media), data=data, headers=headers or {})


def ended(client: Any, video: str) -> dict[str, Any]:
    """Wait by its events; the last one is given."""
    import json

    with client.stream("GET", f"/v1/videos/{video}/events") as events:
        lines = [line for line in events.iter_lines() if line.startswith("data: ")]
    return dict(json.loads(lines[-1].removeprefix("data: ")))
