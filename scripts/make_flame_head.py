"""Write our own head as a file in FLAME's format, for other programs that read it.

    python scripts/make_flame_head.py head.npz        # arrays named "group/key"
    python scripts/make_flame_head.py head.pt         # nested tensors, as FLAME_with_eye.pt

The package builds the same head itself when it is needed (`talkinghead.families.artalk.procedural`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from talkinghead.families.artalk.procedural.head import EXPRESSIONS, SHAPES, procedural_head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="a .npz or .pt file")
    output: Path = parser.parse_args().output
    arrays = procedural_head().arrays
    if output.suffix == ".npz":
        np.savez_compressed(output, **arrays)  # type: ignore[arg-type]
    elif output.suffix == ".pt":
        import torch

        tree: dict[str, dict[str, Any]] = {}
        for name, value in arrays.items():
            group, _, key = name.partition("/")
            tree.setdefault(group, {})[key] = torch.from_numpy(np.ascontiguousarray(value))
        torch.save(tree, output)
    else:
        parser.error("the suffix must be .npz or .pt")
    print(f"{output}: {len(arrays['flame_model/v_template'])} vertices")
    print("expressions:", ", ".join(EXPRESSIONS))
    print("shapes:", ", ".join(SHAPES))


if __name__ == "__main__":
    main()
