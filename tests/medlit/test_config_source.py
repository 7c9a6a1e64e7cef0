"""A file of settings that asks for objects, or for all memory, is refused in one line."""

import pytest

from medlit.config_source import read_settings
from medlit.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'trainer: !!python/object/apply:os.system ["touch made"]',
            "x.yaml:1: not valid YAML: could not determine a constructor",
        ),
        ("a:\n  b: !!python/name:os.system", "x.yaml:2: not valid YAML: could not determine a constructor"),
        ("a:\n- !code x", "x.yaml:2: not valid YAML: could not determine a constructor"),
        ("a: &a [*a]", "is there an alias of itself?"),
        ("a: " + "[" * 5000, "nested too deep"),
        (
            "a: &a [0, 0, 0, 0, 0, 0, 0, 0, 0]\n"
            + "".join(
                f"{key}: &{key} [{', '.join([f'*{before}'] * 9)}]\n"
                for before, key in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "more than 100,000 settings",
        ),
        ("a: " + "x" * 1_000_001, "more than 1,000,000 bytes"),
    ],
)
def test_yaml_that_asks_for_objects_or_for_all_memory_is_refused(tmp_path, monkeypatch, text, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigurationError) as told:
        read_settings(["--config", "x.yaml"])
    assert expected in str(told.value)
    assert not (tmp_path / "made").exists()
