"""Pictures that show what was found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from talkinghead.contracts import Detection, Frame

COLOURS_RGB = ((64, 220, 96), (255, 176, 32), (64, 160, 255), (255, 96, 160), (190, 130, 255), (255, 255, 96))
"""One per face, in turn."""


def annotate_faces(frame: Frame, faces: Sequence[Detection], labels: Sequence[str] | None = None) -> Frame:
    """Draw the boxes, numbered from 0 in the order given, and the key points.

    Args:
        frame: [H, W, 3] RGB uint8; not changed.
        labels: what to write at each box instead of its number.
    Returns:
        A new picture of the same size.
    """
    import cv2

    names = [str(i) for i in range(len(faces))] if labels is None else list(labels)
    picture = frame.copy()
    height, width = frame.shape[:2]
    line = max(1, round(max(width, height) / 400))
    for i, (face, name) in enumerate(zip(faces, names, strict=True)):
        colour = COLOURS_RGB[i % len(COLOURS_RGB)]
        x1, y1, x2, y2 = (int(edge) for edge in np.clip(np.rint(face.box_xyxy), -(2**15), 2**15))
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colour, thickness=line)
        if face.key_points is not None and np.isfinite(face.key_points).all():
            for x, y in face.key_points:
                cv2.circle(picture, (round(float(x)), round(float(y))), line + 1, colour, thickness=cv2.FILLED)
        _draw_label(picture, name, (x1, y1, x2, y2), colour, line)
    return picture


def _draw_label(
    picture: Frame, text: str, box: tuple[int, int, int, int], colour: tuple[int, int, int], line: int
) -> None:
    """Black text on a plate above the box, or inside it where there is no room above."""
    import cv2

    height, width = picture.shape[:2]
    scale = max(0.4, max(width, height) / 900)
    (text_width, text_height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, line)
    plate_height = text_height + base + 2 * line
    left = int(np.clip(box[0], 0, max(0, width - text_width - 4 * line)))
    top = int(np.clip(box[1] - plate_height if box[1] >= plate_height else box[1], 0, max(0, height - plate_height)))
    cv2.rectangle(
        picture, (left, top), (left + text_width + 4 * line, top + plate_height), colour, thickness=cv2.FILLED
    )
    cv2.putText(
        picture,
        text,
        (left + 2 * line, top + text_height + line),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (0, 0, 0),
        thickness=line,
        lineType=cv2.LINE_AA,
    )
