"""Labelled patch data sets on disk: class folders of images, with or without a manifest.

A data set is one of

- ``<root>/manifest.csv`` with at least the columns ``file`` (relative to the manifest) and ``label``; understood beyond
  those are ``kind``, ``site``, ``scene_group``, ``quality``, ``split`` and the box ``row0, row1, col0, col1`` of the
  deformation (half-open pixel bounds); every other column is kept as text and can be selected by;
- class folders without a manifest, ``<root>/<label>/**/*.png`` (or JPEG, TIFF), or such folders under
  ``<root>/train`` and ``<root>/validation``. A folder below that of a class is the site, or else the
  LiCSAR frame that the file's name holds.

Patches that fringewatch writes are 8-bit PNG pictures: grey is phase, ``phase_rad = grey / 255 * 2 pi - pi``, and alpha
is validity (0 = no data), so that any viewer shows them.

:func:`open_patches` lists what shows deformation and what does not, for scores; :func:`read_patch_set` lists a data set
of any classes that a classifier can be trained on, and refuses one that would spoil the training.
"""

from fringewatch.patches.classes import PatchSet, read_patch_set
from fringewatch.patches.fit import Fit, fit_patch, limit_sides, place_centred, resample
from fringewatch.patches.listing import open_patches
from fringewatch.patches.manifest import MANIFEST, write_manifest
from fringewatch.patches.picture import read_phase, write_patch
from fringewatch.patches.record import Box, Patch
from fringewatch.patches.select import select
from fringewatch.patches.split import split_by_site

__all__ = [
    "MANIFEST",
    "Box",
    "Fit",
    "Patch",
    "PatchSet",
    "fit_patch",
    "limit_sides",
    "open_patches",
    "place_centred",
    "read_patch_set",
    "read_phase",
    "resample",
    "select",
    "split_by_site",
    "write_manifest",
    "write_patch",
]
