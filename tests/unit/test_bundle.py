"""Bundles: found, checked, never replaced behind the user's back."""

import json
from pathlib import Path

import numpy as np
import pytest

import fringewatch.models
from fringewatch.errors import BundleError
from fringewatch.models import (
    Calibration,
    Card,
    checked_file,
    find_bundle,
    list_bundles,
    load_bundle,
    read_card,
    save_bundle,
)
from fringewatch.models.bundle import DEFAULT_BUNDLE


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"network")
    card = Card(
        name="mine", version="1", architecture="x", parameters=1, halo_px=8, files={"float32": "model.onnx"}, sha256={}
    )
    return save_bundle(folder, card)


def test_saved_card_loads_again_with_its_hash(folder):
    bundle = load_bundle(folder, precision="float32")
    assert bundle.card.name == "mine"
    assert len(bundle.card.sha256["model.onnx"]) == 64


def test_changed_network_is_refused(folder):
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match=r"model\.onnx: SHA-256 is .* card\.json says"):
        load_bundle(folder, precision="float32")


def test_missing_precision_is_no_reason_to_take_another(folder):
    with pytest.raises(BundleError, match=r"has no int8 network, only float32"):
        load_bundle(folder, precision="int8")


def test_missing_network_file(folder):
    (folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"named by card\.json but missing"):
        load_bundle(folder, precision="float32")


def test_unknown_name_suggests_and_lists(folder, monkeypatch):
    monkeypatch.setenv("FRINGEWATCH_MODELS", str(folder.parent))
    assert find_bundle("mine") == folder
    assert "mine" in list_bundles()
    with pytest.raises(BundleError, match=r"mien: no such model bundle; did you mean 'mine'\?"):
        find_bundle("mien")


def test_a_folder_of_data_hides_no_model_of_its_name(tmp_path, monkeypatch):
    packaged = find_bundle("mining")
    (tmp_path / "mining").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_bundle("mining") == packaged


def test_folder_without_a_card(tmp_path):
    with pytest.raises(BundleError, match=r"holds no card\.json"):
        find_bundle(tmp_path)


def test_card_with_an_unknown_key_is_refused(folder):
    card = json.loads((folder / "card.json").read_text())
    card["strid"] = 4
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match=r"unknown key 'strid'; did you mean 'stride'\?"):
        load_bundle(folder, precision="float32")


def test_bundle_of_a_later_version_is_refused(folder):
    card = json.loads((folder / "card.json").read_text())
    card["requires"] = ">=99"
    (folder / "card.json").write_text(json.dumps(card))
    with pytest.raises(BundleError, match="needs fringewatch >=99"):
        load_bundle(folder, precision="float32")


def test_calibration_is_the_logistic_function():
    logits = np.array([-3.0, 0.0, 2.0, 1e4, -1e4], np.float32)
    wanted = 1 / (1 + np.exp(-np.clip(1.5 * logits.astype(float) - 0.5, -700, 700)))
    np.testing.assert_allclose(Calibration(slope=1.5, offset=-0.5)(logits), wanted, atol=1e-6)


def test_bundles_in_the_package_are_whole_and_small():
    packaged = Path(fringewatch.models.__file__).parent
    folders = [card.parent for card in packaged.glob("*/card.json")]
    assert {folder.name for folder in folders} == {DEFAULT_BUNDLE, "fringenet-s", "mining"}
    for folder in folders:
        card = read_card(folder)
        assert card.name == folder.name
        assert card.encoding.pixel_size_m is not None
        for file in card.files.values():
            checked_file(folder, card, file)
    # Of the wheel; of the default bundle alone training can go on.
    assert sum(file.stat().st_size for folder in folders for file in folder.rglob("*")) < 15e6
    assert [file.parent.name for folder in folders for file in folder.glob("*.pt")] == [DEFAULT_BUNDLE]
    checked_file(packaged / DEFAULT_BUNDLE, read_card(packaged / DEFAULT_BUNDLE), "weights.pt")


def test_a_home_that_may_not_be_entered_hides_no_packaged_bundle(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    listed = Path.glob

    def glob(path, pattern):
        if tmp_path in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path, pattern)

    monkeypatch.setattr(Path, "glob", glob)
    assert "fringenet" in list_bundles()
