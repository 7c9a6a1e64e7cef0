"""What fuzzing has found, each as the smallest file that showed it: all are refused in one line now."""

import io

import numpy as np
import polars as pl
import pytest

from data_modules import first_reading
from data_modules.errors import DataError, TableError, UnreadableImageError
from data_modules.mammography.captions.template import load_style
from data_modules.panics import unprinted_panics
from data_modules.parquet import read_parquet
from data_modules.volumes import open_volume
from medlit import cli
from medlit.config_source import MAX_DEPTH, read_settings
from medlit.errors import ConfigurationError
from medlit.recipes.plan import plan
from medlit.recipes.recipe import parse_option, read_recipe
from tests.fuzz.found import ENDS_THE_PROCESS, PANICS, bytes_of, refusal

# The terminal


def test_a_message_shows_no_control_characters_and_ends():
    said = cli.one_line(UnreadableImageError("a.dcm", "photometric \x1b[31m\x00\u202e: " + "x" * 5000))
    assert said.startswith(r"a.dcm: photometric \x1b[31m\x00\u202e: xxx")
    assert said.endswith(" ...")


# YAML


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 2001-99-99", "not valid YAML: month must be in 1..12"),
        ("a: !!timestamp x", "not valid YAML"),
        ("a: !!float x", "not valid YAML: could not convert string to float: 'x'"),
        ("<<: 1", "c.yaml:1: not valid YAML: expected a mapping"),
        ("? [1, 2]\n: x", "c.yaml:1: not valid YAML: found unhashable key"),
        ("a: &a [*a]", f"c.yaml:1: more than {MAX_DEPTH} levels deep"),
        ("a: &a\n  b: *a", f"c.yaml:1: more than {MAX_DEPTH} levels deep"),
        ("a: " + "[" * 500, "nested too deep"),
        (
            "\n".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 10)}]" if n else "k0: &k0 [0]" for n in range(9)),
            "settings",
        ),
    ],
)
def test_yaml_that_breaks_its_readers_is_refused(tmp_path, text, said):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    assert said in refusal(ConfigurationError, read_settings, ["--config", str(path)])


def test_a_date_that_is_none_is_text_on_the_command_line():
    assert parse_option("data.init_args.root=2001-99-99") == ("data.init_args.root", "2001-99-99")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ("num_folds: 32768", "num_folds: expected null or a whole number from 3 to 1000"),
        ("compare: {x: [[a]]}", "compare.x: no stage ['a']"),
        ("stages: {a: {configs: [x.yaml], init_from: {clinic: [a]}}}", "expected the name of a stage, got ['a']"),
    ],
)
def test_a_recipe_without_end_or_with_lists_for_names_is_refused(tmp_path, changes, said):
    content = {"name": "name: x", "seeds": "seeds: [0]", "stages": "stages: {a: {configs: [x.yaml]}}"}
    content[changes.partition(":")[0]] = changes
    path = tmp_path / "r.yaml"
    path.write_text("\n".join(content.values()))
    assert said in refusal(ConfigurationError, read_recipe, path)


def test_a_zero_byte_in_the_name_of_a_configuration_is_refused(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text('{name: x, seeds: [0], stages: {a: {configs: ["x\\0.yaml"]}}}')
    said = refusal(ConfigurationError, lambda: plan(read_recipe(path), tmp_path / "out"))
    assert r"configuration file x\x00.yaml cannot be read" in said
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_settings(["--config", "x\0.yaml"])


def test_a_template_of_captions_with_a_date_that_is_none_is_refused(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text("natural: 2001-99-99")
    assert "no YAML in UTF-8" in refusal(DataError, load_style, "natural", file=path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seed_everything", "-1"], "seed_everything: expected a whole number from 0 to 4294967295, got -1"),
        (["--model", "../../x"], "../../x"),
    ],
)
def test_a_seed_below_zero_and_a_path_for_a_class_are_one_line(capsys, words, said):
    assert cli.main(["fit", "--config", "experiments/ei_derm7pt.yaml", *words]) == cli.USER_ERROR
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


# Parquet


@pytest.mark.parametrize("literal", [ENDS_THE_PROCESS, PANICS], ids=["ends the process", "panics"])
def test_a_damaged_parquet_table_is_refused_and_nothing_is_printed(tmp_path, capfd, literal):
    (tmp_path / "t.parquet").write_bytes(bytes_of(literal))
    said = refusal(TableError, read_parquet, tmp_path, "t.parquet", needed=["a", "day"], source="there")
    assert "no Parquet table" in said
    assert capfd.readouterr() == ("", "")


def test_after_one_that_ended_its_reader_the_next_table_is_read(tmp_path):
    (tmp_path / "bad.parquet").write_bytes(bytes_of(ENDS_THE_PROCESS))
    pl.DataFrame({"a": [1, 2]}).write_parquet(tmp_path / "good.parquet")
    assert (
        first_reading.refusal(tmp_path / "bad.parquet", columns=None, max_rows=9) == "it ends the process that reads it"
    )
    assert first_reading.refusal(tmp_path / "good.parquet", columns=None, max_rows=9) is None
    assert read_parquet(tmp_path, "good.parquet", needed=["a"], source="there").columns["a"] == ["1", "2"]


def test_a_day_beyond_the_calendar_is_refused(tmp_path, capfd):
    pl.DataFrame({"day": [2**31 - 1]}).cast(pl.Int32).cast(pl.Date).write_parquet(tmp_path / "t.parquet")
    assert "no Parquet table" in refusal(
        TableError, read_parquet, tmp_path, "t.parquet", needed=["day"], source="there"
    )
    assert capfd.readouterr().err == ""


def test_what_is_printed_without_an_error_is_passed_on(capfd):
    import os

    with unprinted_panics():
        os.write(2, b"a remark\n")
    assert capfd.readouterr().err == "a remark\n"


# Volumes


def test_a_volume_of_true_slices_is_refused(tmp_path):
    """A header may say True where a number belongs."""
    stream = io.BytesIO()
    np.save(stream, np.zeros((1, 2, 3), np.uint8))
    path = tmp_path / "v.npy"
    path.write_bytes(stream.getvalue().replace(b"(1, 2, 3)", b"(True,2,3)").replace(b" \n", b"\n"))
    assert "shape (True, 2, 3): not slices x height x width" in refusal(UnreadableImageError, open_volume, path)


def test_a_volume_whose_header_is_written_by_python_2_is_read_or_refused(tmp_path):
    stream = io.BytesIO()
    np.save(stream, np.zeros((1, 2, 3), np.uint8))
    path = tmp_path / "v.npy"
    path.write_bytes(stream.getvalue().replace(b"(1, 2, 3)", b"(1L,2, 3)"))
    with pytest.warns(UserWarning, match="additional header parsing"):
        assert open_volume(path).shape == (1, 2, 3)
