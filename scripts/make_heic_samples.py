"""Write the small HEIC pictures of tests/data/heic with libheif, another program than the one that reads them here.

pip install pillow-heif
PYTHONPATH=. python scripts/make_heic_samples.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image

from tests.picture_files import smooth

ORIENTATION = 0x112
FOLDER = Path(__file__).parents[1] / "tests" / "data" / "heic"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    picture = smooth(45, 35, seed=5)
    image = Image.fromarray(picture)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pillow_heif.from_pillow(image).save(FOLDER / "odd-turned.heic", quality=95, chroma=444, exif=exif.tobytes())
    opacity = np.rint(np.linspace(0, 65535, 35)).astype(np.uint16)
    deep = np.dstack([picture.astype(np.uint16) * 257, np.repeat(opacity[:, None], 45, axis=1)])
    pillow_heif.options.SAVE_HDR_TO_12_BIT = False
    pillow_heif.from_bytes("RGBA;16", image.size, deep.tobytes()).save(FOLDER / "deep-clear.heic", quality=95)
    pillow_heif.from_pillow(image).save(FOLDER / "exact.heic", quality=-1, chroma=444, matrix_coefficients=0)


if __name__ == "__main__":
    main()
