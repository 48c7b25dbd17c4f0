"""Make the example scenes in examples/scenes: five simulated interferograms in LiCSAR form, with their truth.

python examples/make_scenes.py

The volcano also becomes the example inside the package, which ``open_interferogram()`` opens. No training uses these
seeds. The scenes in the repository were drawn with the simulator of 0.1.0: today's draws others from the same seeds,
and running this replaces them. They are simulated and lie in the open Atlantic on purpose: nobody should take them for
a real place.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from fringewatch.products import EXAMPLE_FOLDER
from fringewatch.simulate import SceneSpec, simulate
from fringewatch.simulate.write import write_scene

SCENES_FOLDER = Path(__file__).parent / "scenes"
SIZE = {"height_px": 320, "width_px": 320, "nodata_share": 0.0, "water_share": 0.0}
COMMON = SIZE | {"pixel_size_m": (90, 90), "coherence": (0.6, 0.9), "turbulence_m": (0.004, 0.006)}

SCENES: dict[str, tuple[int, dict[str, object]]] = {
    "volcano": (70015, COMMON | {"kinds": {"volcano": 1.0}, "fringes": (3, 5), "sources": (1, 1)}),
    "mine": (
        70016,
        SIZE
        | {"kinds": {"mining": 1.0}, "mining_pixel_size_m": (20, 20), "fringes": (3, 6), "panels": (3, 3)}
        | {"coherence": (0.6, 0.8), "turbulence_m": (0.002, 0.004)},
    ),
    "earthquake": (70013, COMMON | {"kinds": {"earthquake": 1.0}, "fringes": (5, 9)}),
    "quiet": (70004, COMMON | {"kinds": {"quiet": 1.0}, "quiet_mining_share": 0.0, "turbulence_m": (0.008, 0.012)}),
    "steep_cone": (
        70010,
        COMMON
        | {"kinds": {"quiet": 1.0}, "quiet_mining_share": 0.0, "cones": (1, 1), "relief_m": (2400, 3000)}
        | {"stratified_std_m_per_km": 0.03, "stratified_tail": 0.0, "ramp_fringes": (0, 0.5)},
    ),
}


def main() -> None:
    """Write every scene, and the package's example."""
    for number, (name, (seed, settings)) in enumerate(SCENES.items()):
        sample = simulate(SceneSpec.build(settings, where=name), seed=seed, index=0)
        # Steps of 0.01 rad and 1 m compress to a third and change nothing that can be seen.
        rounded = dataclasses.replace(
            sample,
            phase=np.clip(np.round(sample.phase, 2), -3.14, 3.14).astype(np.float32),
            height_m=np.round(sample.height_m),
            coherence=np.round(sample.coherence, 2),
        )
        frame = f"{number:03d}{sample.track}_00000_000000"
        roots = [SCENES_FOLDER / name, *([EXAMPLE_FOLDER] if name == "volcano" else [])]
        for root in roots:
            write_scene(root, rounded, frame=frame, longitude=-30.0 + number)
        print(f"{name}: {sample.parameters}")


if __name__ == "__main__":
    main()
