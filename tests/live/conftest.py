"""Live sessions are tested where the extra `live` is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.webui.conftest import browser, browser_program, devices, face, limited, voice

__all__ = ["browser", "browser_program", "devices", "face", "limited", "voice"]
OTHERS = ("aiortc", "aioice", "fastapi", "starlette", "uvicorn", "websockets", "httpx", "anyio", "pyee", "OpenSSL")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deprecations of other packages are not ours to fix; every other warning stays an error."""
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            for module in OTHERS:
                for category in ("DeprecationWarning", "PendingDeprecationWarning"):
                    item.add_marker(pytest.mark.filterwarnings(f"ignore::{category}:{module}.*"))
