"""Strict settings, YAML in and out, messages that help."""

import pytest
from pydantic import Field, model_validator

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


def test_a_file_may_name_a_setting_by_its_flag(tmp_path):
    class Days(Config):
        start: str = Field("", description="First day.", json_schema_extra={"flag": "--from"})
        end: str = Field("", description="Last day.", json_schema_extra={"flag": "--to"})

    path = tmp_path / "settings.yaml"
    path.write_text("from: a\nend: b\n")
    assert Days.from_yaml(path) == Days(start="a", end="b")
    assert Days.from_yaml(path).to_yaml().count("start: a") == 1


def test_misspelt_key_suggests_the_right_one(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("dept_m: 3\n")
    with pytest.raises(ConfigError, match=r"settings\.yaml: unknown key 'dept_m'; did you mean 'depth_m'\?"):
        Settings.from_yaml(path)


def test_value_out_of_range_names_key_value_and_bound():
    with pytest.raises(ConfigError, match=r"depth_m = -1: Input should be greater than 0"):
        Settings.build({"depth_m": -1})


class Both(Config):
    """Two settings that belong together."""

    low: int = Field(1, description="The lower one.")
    high: int = Field(2, description="The higher one.")
    word: str = Field("a,b", pattern="^[ab](,[ab])*$", description="a or b, joined by commas.")
    needed: int = Field(description="Has no default.")

    @model_validator(mode="after")
    def _check(self):
        if self.low > self.high:
            message = "low: is above high; exchange them"
            raise ValueError(message)
        return self


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 3, "needed": 1}, "x: low: is above high; exchange them"),
        ({"low": 3}, "x: needed: is missing; give it a value"),
        ({"word": "c", "needed": 1}, "x: word = 'c': does not fit; expected: a or b, joined by commas."),
        ({"low": {"secret": 1}, "needed": 1}, "x: low: Input should be a valid integer"),
    ],
)
def test_mistakes_say_what_is_expected_and_no_more(given, message):
    with pytest.raises(ConfigError) as caught:
        Both.build(given, where="x")
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [1\n", "\x00"])
def test_what_is_no_mapping_is_refused_with_the_file_named(tmp_path, text):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken\.yaml"):
        Settings.from_yaml(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        Settings.from_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("since: 2026-13-01\n", r"x\.yaml: is not valid YAML \(month must be in 1..12\)"),
        ("a: 1\nrules\nb: 2\n", r"x\.yaml, line \d: is not valid YAML \("),
    ],
)
def test_yaml_that_cannot_be_read_names_the_place(tmp_path, text, message):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        Settings.from_yaml(tmp_path / "x.yaml")
