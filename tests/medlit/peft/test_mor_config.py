"""Settings of MoR: from Python, from YAML, and what they refuse."""

import subprocess
import sys

import pytest
from jsonargparse import ArgumentError, ArgumentParser
from peft import PeftConfig

from medlit.peft import MoRConfig


def parse(yaml):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--adapter", type=PeftConfig | None, default=None)
    return parser.instantiate(parser.parse_args([f"--adapter={yaml}"])).adapter


def test_defaults_are_the_released_settings():
    config = MoRConfig()
    assert (config.ranks, config.alphas, config.scales) == ([2, 4, 8], [4, 8, 16], [2, 2, 2])
    assert config.target_modules == ["mlp.fc1", "mlp.fc2"]
    assert config.bypass


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ranks": [], "alphas": []}, r"an alpha for each of its ranks: ranks \[\], alphas \[\]"),
        ({"ranks": [2, 4], "alphas": [4]}, r"an alpha for each of its ranks: ranks \[2, 4\], alphas \[4\]"),
        ({"ranks": [2, 0], "alphas": [4, 4]}, r"whole numbers of at least 1, got \[2, 0\]"),
        ({"ranks": [2.5], "alphas": [4]}, r"whole numbers of at least 1, got \[2\.5\]"),
        ({"ranks": [2], "alphas": [-1]}, r"positive and finite, got \[-1\]"),
        ({"ranks": [2], "alphas": [float("nan")]}, r"positive and finite, got \[nan\]"),
        ({"target_modules": []}, "target_modules is empty"),
    ],
)
def test_impossible_experts_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        MoRConfig(**settings)


def test_comes_from_yaml_by_class_path():
    config = parse("{class_path: medlit.peft.MoRConfig, init_args: {ranks: [2, 4], alphas: [4, 8], bypass: false}}")
    assert isinstance(config, MoRConfig)
    assert (config.ranks, config.alphas, config.bypass) == ([2, 4], [4.0, 8.0], False)
    assert parse("null") is None


def test_yaml_takes_a_regular_expression_for_targets():
    config = parse(r"{class_path: medlit.peft.MoRConfig, init_args: {target_modules: 'blocks\.0\..*fc1'}}")
    assert config.target_modules == r"blocks\.0\..*fc1"


def test_a_wrong_key_in_yaml_is_refused():
    with pytest.raises(ArgumentError, match="rank"):
        parse("{class_path: medlit.peft.MoRConfig, init_args: {rank: [2, 4]}}")


def test_saved_and_loaded_by_peft(tmp_path):
    MoRConfig(ranks=[3], alphas=[6], target_modules=["attn.qkv.q"], bypass=False).save_pretrained(tmp_path)
    config = PeftConfig.from_pretrained(tmp_path)
    assert config == MoRConfig(ranks=[3], alphas=[6], target_modules=["attn.qkv.q"], bypass=False)


@pytest.mark.slow
def test_importing_the_adapters_leaves_timm_alone():
    code = "import sys, medlit.peft; print('timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "False"
