"""Find, load, check and save model bundles.

A bundle is looked up by path, then by name in ``$FRINGEWATCH_MODELS`` and ``~/.local/share/fringewatch/models``, then
among those inside the package. Nothing is fetched, and a missing or damaged bundle is an error, never a fallback.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import ValidationError

from fringewatch._version import __version__
from fringewatch.config import explain_validation_error
from fringewatch.errors import BundleError
from fringewatch.files import ensure_folder, write_text
from fringewatch.models.card import Card, Precision

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "DEFAULT_BUNDLE",
    "Bundle",
    "checked_file",
    "find_bundle",
    "list_bundles",
    "load_bundle",
    "read_card",
    "save_bundle",
]

DEFAULT_BUNDLE = "fringenet"
_PACKAGED = Path(__file__).parent


class Bundle:
    """A network ready to run: card plus ONNX Runtime session.

    Parameters
    ----------
    folder
        Where the bundle lies.
    card
        Its card, already validated.
    precision
        ``"int8"`` (fastest on CPUs) or ``"float32"``.
    threads
        Threads of one inference; None lets ONNX Runtime take every core.
    """

    def __init__(self, folder: Path, card: Card, *, precision: Precision, threads: int | None = None) -> None:
        self.folder = folder
        self.card = card
        self.precision = precision
        self.threads = threads
        self._session: Any = None

    def __repr__(self) -> str:
        return f"<Bundle {self.card.name} {self.card.version} ({self.precision}) from {self.folder}>"

    @property
    def session(self) -> Any:
        """The ONNX Runtime session, made on first use (and again after a fork or a pickle)."""
        if self._session is None:
            import onnxruntime as ort

            options = ort.SessionOptions()
            options.log_severity_level = 3
            if self.threads is not None:
                options.intra_op_num_threads = self.threads
            path = self.folder / self.card.files[self.precision]
            try:
                self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            except Exception as error:  # ONNX Runtime's own exceptions share no public base
                message = f"{path}: ONNX Runtime cannot load it ({error}); fetch or export the bundle again"
                raise BundleError(message) from error
        return self._session

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}

    def logits(self, inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the network.

        Parameters
        ----------
        inputs
            (N, C, H, W) float32, encoded by ``card.encoding``; H and W multiples of ``card.multiple``, or both
            ``card.patch_px``, or any from ``card.crop_px``.

        Returns
        -------
        map, scene
            Logits (N, 1, H / stride, W / stride) and (N, K), float32.
        """
        map_logits, scene_logits = self.session.run(["map", "scene"], {"phase": inputs})
        return map_logits, scene_logits


def list_bundles() -> dict[str, Path]:
    """Return the name and folder of every bundle that can be found by name; the user's own come first."""
    found: dict[str, Path] = {}
    for root in _roots():
        # Where a root may not be looked into, as the home of another user, there is nothing to find.
        with contextlib.suppress(PermissionError):
            for card in sorted(root.glob("*/card.json")):
                found.setdefault(card.parent.name, card.parent)
    return found


def find_bundle(model: str | Path = DEFAULT_BUNDLE) -> Path:
    """Return the folder of a bundle given by path or by name.

    Raises
    ------
    BundleError
        If there is none; the message lists the known names and the nearest.
    """
    path = Path(model)
    if (path / "card.json").is_file():
        return path
    # A folder of data may be called like a model.
    known = list_bundles()
    if str(model) in known:
        return known[str(model)]
    if path.is_dir():
        message = f"{path}: holds no card.json; expected a model bundle folder (card.json and model.onnx)"
        raise BundleError(message)
    near = difflib.get_close_matches(str(model), list(known), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    message = f"{model}: no such model bundle; {hint}known: {', '.join(known) or 'none'}; or give a bundle folder"
    raise BundleError(message)


def load_bundle(
    model: str | Path = DEFAULT_BUNDLE, *, precision: Precision | None = None, threads: int | None = None
) -> Bundle:
    """Find a bundle, check its card and the hash of the file that will run, and return it.

    Parameters
    ----------
    model
        Name or folder.
    precision
        ``"int8"`` or ``"float32"``; None takes the one that the card names as its default.
    threads
        Threads of one inference; None lets ONNX Runtime take every core.

    Raises
    ------
    BundleError
        If the bundle is missing, its card is wrong, it lacks the precision or the network's hash differs from the
        card's.
    """
    folder = find_bundle(model)
    card = read_card(folder)
    chosen = precision or card.default_precision
    if chosen not in card.files:
        message = f"{folder}: has no {chosen} network, only {', '.join(card.files)}; choose one with --precision"
        raise BundleError(message)
    checked_file(folder, card, card.files[chosen])
    return Bundle(folder, card, precision=chosen, threads=threads)


def read_card(folder: Path) -> Card:
    """Return the card of a bundle's folder, checked but for the files it names.

    Raises
    ------
    BundleError
        If it cannot be read, breaks the schema or asks for another version of fringewatch.
    """
    path = folder / "card.json"
    try:
        card = Card.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise BundleError(explain_validation_error(error, Card, str(path))) from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read ({error}); fetch or export the bundle again"
        raise BundleError(message) from error
    try:
        fits = SpecifierSet(card.requires).contains(__version__, prereleases=True)
    except InvalidSpecifier as error:
        message = f"{path}: requires = {card.requires!r}: expected versions of fringewatch such as '>=0.1'"
        raise BundleError(message) from error
    if not fits:
        message = f"{path}: needs fringewatch {card.requires}, this is {__version__}; install a version that fits"
        raise BundleError(message)
    return card


def checked_file(folder: Path, card: Card, name: str) -> Path:
    """Return the path of a file that a card names, once its hash is the card's.

    Raises
    ------
    BundleError
        If it is missing or its hash differs.
    """
    file = folder / name
    if not file.is_file():
        message = f"{file}: named by card.json but missing; fetch or export the bundle again"
        raise BundleError(message)
    actual, expected = sha256(file), card.sha256.get(file.name, "")
    if actual != expected:
        message = (
            f"{file}: SHA-256 is {actual[:12]}..., card.json says {expected[:12] or 'nothing'}...; "
            "the network was changed or damaged: fetch or export the bundle again"
        )
        raise BundleError(message)
    return file


def save_bundle(folder: str | Path, card: Card) -> Path:
    """Write ``card.json``, with their hashes filled in, beside the files that it names, which already lie there."""
    folder = ensure_folder(folder)
    names = [*card.files.values(), *([card.weights] if card.weights else [])]
    hashes = {name: sha256(folder / name) for name in names}
    filled = card.model_copy(update={"sha256": hashes})
    write_text(folder / "card.json", json.dumps(filled.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n")
    return folder


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _roots() -> list[Path]:
    roots = []
    if configured := os.environ.get("FRINGEWATCH_MODELS"):
        roots += [Path(part) for part in configured.split(os.pathsep) if part]
    data_home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return [*roots, Path(data_home) / "fringewatch" / "models", _PACKAGED]
