"""What sources of labels are asked, and what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from fringewatch.errors import ProductError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import xarray as xr
    from numpy.typing import NDArray

    from fringewatch.products import Reference

__all__ = ["Mark", "Marks", "Scene", "Source", "refuse_shared"]


class Scene(NamedTuple):
    """A scene that labels are laid over."""

    name: str
    path: str
    shape: tuple[int, int]
    y: NDArray[np.float64]
    """(H,) centres of the rows in the CRS."""
    x: NDArray[np.float64]
    """(W,) centres of the columns."""
    crs_wkt: str
    """Empty where the scene has no coordinates."""
    reference_date: str
    """ISO date, or empty."""
    secondary_date: str

    @classmethod
    def of(cls, reference: Reference, interferogram: xr.Dataset) -> Scene:
        """Return what an open interferogram says of itself."""
        # rioxarray keeps the CRS as the CF conventions say; a file without one has no such coordinate.
        grid = interferogram.coords.get("spatial_ref")
        height, width = interferogram["phase"].shape
        return cls(
            name=reference.name,
            path=reference.address,
            shape=(height, width),
            y=interferogram["y"].values,
            x=interferogram["x"].values,
            crs_wkt="" if grid is None else str(grid.attrs.get("crs_wkt", "")),
            reference_date=interferogram.attrs["reference_date"],
            secondary_date=interferogram.attrs["secondary_date"],
        )


class Mark(NamedTuple):
    """A labelled area of a scene."""

    where: NDArray[np.bool_]
    """(H, W)."""
    word: str
    """The label."""


class Marks(NamedTuple):
    """What a source says of a scene it knows; without marks, that nothing deforms there."""

    marks: list[Mark]
    site: str = ""


class Source(Protocol):
    """A file or folder of labels."""

    @property
    def words(self) -> frozenset[str]:
        """Every label in it."""
        ...

    def expect(self, scenes: Sequence[tuple[str, str]]) -> None:
        """Check that labels can be told apart for all scenes of a run, each a name and a path.

        Raises
        ------
        ProductError
            If one would lie on several files.
        """
        ...

    def lay_over(self, scene: Scene) -> Marks | None:
        """Return what it says of a scene, or None where it says nothing.

        Raises
        ------
        ProductError
            If it cannot be laid over this scene.
        """
        ...

    def unused(self) -> list[str]:
        """Return, in words, the labels that fitted no scene so far."""
        ...


def refuse_shared(source: Path, named: Sequence[tuple[str | None, str]]) -> None:
    """Refuse labels that would lie on several files.

    Parameters
    ----------
    source
        Of the labels.
    named
        What each scene is called there, None if it is not, and its file.

    Raises
    ------
    ProductError
        If one name stands for several files.
    """
    first: dict[str, str] = {}
    for key, path in named:
        if key is not None and first.setdefault(key, path) != path:
            message = (
                f"{source}: {key} may be {first[key]} or {path}, whose names are the same; call it by its path, or as "
                "the column name of prepare.csv does"
            )
            raise ProductError(message)
