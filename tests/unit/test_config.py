"""Strict settings, YAML in and out, messages that help."""

import pytest
from pydantic import Field

from fringewatch.config import Config
from fringewatch.errors import ConfigError


class Settings(Config):
    depth_m: float = Field(1000.0, gt=0, description="Depth of the source below the ground (m).")
    names: tuple[str, ...] = Field((), description="Names.")


def test_yaml_goes_there_and_back_with_comments(tmp_path):
    settings = Settings(depth_m=5, names=("a", "b"))
    text = settings.to_yaml()
    assert "# Depth of the source below the ground (m).\ndepth_m: 5.0\n" in text
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    assert Settings.from_yaml(path) == settings


def test_misspelt_key_suggests_the_right_one(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("dept_m: 3\n")
    with pytest.raises(ConfigError, match=r"settings\.yaml: unknown key 'dept_m'; did you mean 'depth_m'\?"):
        Settings.from_yaml(path)


def test_value_out_of_range_names_key_value_and_bound():
    with pytest.raises(ConfigError, match=r"depth_m = -1: Input should be greater than 0"):
        Settings.build({"depth_m": -1})


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [1\n", "\x00"])
def test_what_is_no_mapping_is_refused_with_the_file_named(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        Settings.from_yaml(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        Settings.from_yaml(tmp_path / "none.yaml")
