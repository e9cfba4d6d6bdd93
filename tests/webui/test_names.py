"""Names of gallery files and folders as the page shows them: text that every browser takes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from talkinghead.webui.studio import Studio
from tests.synthetic_media import make_picture

NAMES = (os.fsdecode(b"caf\xe9"), "two\nlines", "\x1b[31mred", "<b>名🎬", "a\u0301")


def test_every_name_is_shown(tmp_path: Path) -> None:
    gallery = tmp_path / "gallery"
    gallery.mkdir()
    faces = [make_picture(tmp_path / "a.png").rename(gallery / f"{name}.png") for name in NAMES]
    for name in NAMES:
        for part in ("full_body_img", "landmarks"):
            (gallery / name / part).mkdir(parents=True)
            (gallery / name / part / "0.lms").write_bytes(b"")
            (gallery / name / part / "0.jpg").write_bytes(b"")
    studio = Studio(tmp_path / "server", folders=[gallery])
    try:
        shown = {face.path: face.title for face in studio.workshop.faces}
        folders = studio.workshop.sources(replace(studio.workshop.availability("synctalk2d"), choices={}))
        assert {*faces} <= {*shown}
        assert len(set(folders)) == len(NAMES)
        for name in (*shown.values(), *folders):
            json.dumps(name, ensure_ascii=False).encode("utf-8")
            assert "\n" not in name
            assert "\x1b" not in name
    finally:
        studio.close()
