"""What fuzzing has found, each as the smallest file that showed it: all are refused in one line now."""

import base64
import io
import json
import zlib

import numpy as np
import polars as pl
import pytest
import torch

from data_modules import first_reading
from data_modules.errors import DataError, TableError, UnreadableImageError
from data_modules.mammography.captions.template import load_style
from data_modules.panics import unprinted_panics
from data_modules.parquet import read_parquet
from medlit import cli
from medlit.checkpoint import read_checkpoint, restore
from medlit.commands import demo
from medlit.config_source import MAX_DEPTH, read_settings
from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.interop import describe
from medlit.mama_checkpoint import mama_info, restore_mama
from medlit.models.weights import read_file
from medlit.predictions import read_predictions
from medlit.recipes import protocol_rows, results
from medlit.recipes.plan import plan, what_changed, write_record
from medlit.recipes.recipe import parse_option, read_recipe
from medlit.resume import is_trained
from medlit.run_folder import CONFIG, FIGURES, MANIFEST
from tests.medlit.models.small import early_intervention, mama
from tests.medlit.test_checkpoint import CLASSES, kept

ENDS_THE_PROCESS = (
    "c-nnZ%}&BV5Z<ko7{h@WW<!%6dZB>`*sdbQ$YBxx;veF{=&e{P8nuQhKR$rZV0<6%K7bG4!GrM$oGleky4jtXZ|0k?)9f}y%LWzFklsZ{2%&g}"
    "(u{z>9LyCkoq_};2vIPrQaYtTQY({0O3P3e2vb>`wasO7h9K1eCl;E;!!2$VExTy(7}*iBf261XmY(w5Q6&CIaho61e5ORx*)l9KBxCeJ#~~=%"
    ">XzCIf;&(NB(n;Rl_k5nEJ-AlV$4)c*9ztn)&Keh_NG9Zm|u$i|0L{F0Y=z6WvV%YE-gpOBt@%raJ&+pbvxH?=9MnURo)i3)}?X!h=+$Uj#4{9"
    "gkml7hhn~o^}#^qvFSYKMg5^Pb!ql4k>s3AM8~}PhKSd=-jLzx=0;f@JV+eIqR9N^WB-x-F8Wrivo{uLICAv*WX^h5h+2(g_M5?#+Y61{?dYx>"
    "+~kdZrx#uXHwG`+CCkXQ?=P-AqvBUB-u4!K-{TeEcerOS@rvVGRhL)GzR&%N+wrPAuNClG<juU`lWXEz{00_7fP4"
)
PANICS = (
    "c-nnZ%}&BV5Z)~fF@}RNoefQT=*31NXuI-Lj2ss6Fa9AOjNXc+f<bDiqWAzlgYkX5`v5+G2M@+4aJDpZ(#`J7d^6vCoo2TwS`Mh7fwqs15JK@h"
    "NHYck^Dv*s^c<uiO^AY7mC}>~8NEc(b9$C~K$yzftZkL88G=+7+(c*=54X8pu$_X<6Xe9mnM!MaNvC{o9E(3u+}0<xUMSHGR)!)&GDe?t5`v<y"
    "@2JBtyakm&W<kNR7RbIKOA<+?1T$4P^t|;<jlX_@y(^#*>svAYpM-rWzzF-GOtogvX>z1&MzmT-r)$wgw{z`f-{^{5rCot*QyO=K_~AIgacWP9"
    "NNmLZSS&TMet$3X*mRlj;{HgQx-<t@NOI49MJK%amPpp5-jLz>_Et$8JxUxUqR5=`vHwJV7kw+yIhcqvTseCEcg}iOh+2(g51V1%8%E~h&G@z("
    "4szzGGmLuSz~sx$vTZK5?|OaTtOQk?xBb;1@OdQ&T<$wXUU5CU>hWqR2zXHOI)0Vs^gLdRyqQ;ga!q`TKOAv@e*"
)
"""Parquet tables of two columns, a and day, with one byte of a page changed."""


def bytes_of(literal):
    return zlib.decompress(base64.b85decode(literal))


def refusal(kind, read, *words, **settings):
    """The line that the user sees."""
    with pytest.raises(kind) as caught:
        read(*words, **settings)
    said = cli.one_line(caught.value)
    assert said.isprintable()
    assert len(said) <= cli.LONGEST_LINE
    return said


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
        ("\n".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 10)}]" if n else "k0: &k0 [0]" for n in range(9)), "settings"),
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
    assert first_reading.refusal(tmp_path / "bad.parquet", columns=None, max_rows=9) == "it ends the process that reads it"
    assert first_reading.refusal(tmp_path / "good.parquet", columns=None, max_rows=9) is None
    assert read_parquet(tmp_path, "good.parquet", needed=["a"], source="there").columns["a"] == ["1", "2"]


def test_a_day_beyond_the_calendar_is_refused(tmp_path, capfd):
    pl.DataFrame({"day": [2**31 - 1]}).cast(pl.Int32).cast(pl.Date).write_parquet(tmp_path / "t.parquet")
    assert "no Parquet table" in refusal(TableError, read_parquet, tmp_path, "t.parquet", needed=["day"], source="there")
    assert capfd.readouterr().err == ""


def test_what_is_printed_without_an_error_is_passed_on(capfd):
    import os

    with unprinted_panics():
        os.write(2, b"a remark\n")
    assert capfd.readouterr().err == "a remark\n"


# What runs leave


def predictions(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {"case_id": ["x", "y"], "label": [0, 1], "logit_a": [0.1, 0.2], "logit_b": [0.3, 0.1], **columns}
    pl.DataFrame({name: values for name, values in table.items() if values is not None}).write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"case_id": None}, "no column 'case_id'"),
        ({"label": None}, "no column 'label'"),
        ({"logit_a": None, "logit_b": None}, "no column 'logit_<class>'"),
        ({"label": ["x", "y"]}, "not as a test writes it"),
        ({"label": [{"x": 1}, {"x": 2}]}, "labels or logits are no numbers"),
        ({"logit_a": [0.1, None]}, "without an id or a logit"),
    ],
)
def test_predictions_that_no_test_writes_are_refused(tmp_path, columns, said):
    assert said in refusal(ConfigurationError, read_predictions, predictions(tmp_path / "p.parquet", **columns))


def test_predictions_that_are_not_there_or_damaged_are_refused(tmp_path):
    path = tmp_path / "p.parquet"
    assert "cannot be read" in refusal(ConfigurationError, read_predictions, path)
    path.write_bytes(bytes_of(ENDS_THE_PROCESS))
    assert "it ends the process that reads it" in refusal(ConfigurationError, read_predictions, path)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"case_id": ["x", "z"]}, "other cases than Early Intervention's"),
        ({"logit_b": None, "logit_c": [0.3, 0.1]}, "'logit_b' is not in both"),
        ({"label": [0, None]}, "a case without a label"),
        ({"label": [0, 7]}, "predictions_test.parquet: "),
        ({"logit_a": [0.1, float("nan")]}, "predictions_test.parquet: "),
    ],
)
def test_the_demo_refuses_predictions_that_do_not_fit(tmp_path, columns, said):
    for run in demo.runs(tmp_path):
        predictions(run.predictions, **(columns if run.title == demo.FUSED or "case_id" in columns else {}))
        columns = columns if run.title == demo.FUSED else {**columns, "case_id": ["x", "y"]} if "case_id" in columns else columns
    assert said in refusal(ConfigurationError, demo.compare, tmp_path)


@pytest.fixture
def job(tmp_path):
    """A training of a recipe that has a protocol, its folder there."""
    file = tmp_path / "r.yaml"
    file.write_text(
        "{name: r, seeds: [0], stages: {a: {configs: [experiments/overlays/tiny.yaml]}}, "
        "protocol: [{set: S, target: t, rows: {m: {stage: a}}}]}"
    )
    recipe = read_recipe(file)
    jobs = plan(recipe, tmp_path / "out")
    (made,) = jobs.values()
    write_record(made, "finished")
    return recipe, jobs, made


@pytest.mark.parametrize("inputs", ["3", "[1]", '{"configs": [3]}', '{"set": 3}', '{"set": {"a": []}, "configs": 3}'])
def test_a_record_that_no_recipe_writes_is_another(job, inputs):
    _, _, made = job
    path = made.folder / "recipe.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "inputs": json.loads(inputs)}))
    assert what_changed(made)


@pytest.mark.parametrize(
    "figures",
    [
        {"heads": 3, "answer": "a"},
        {"heads": {"a": 3}, "answer": "a"},
        {"heads": {"a": {}}, "answer": "a", "strata": [1]},
        {"heads": {"a": {}}, "answer": "a", "units": {"breast": 3}},
    ],
)
def test_figures_that_no_test_writes_are_refused(job, figures):
    recipe, jobs, made = job
    (made.folder / FIGURES).write_text(json.dumps(figures))
    (made.folder / MANIFEST).write_text("{}")
    said = refusal(ConfigurationError, protocol_rows.rows_of, recipe, jobs, jobs.keys())
    assert "train it anew with --rerun" in said


@pytest.mark.parametrize("text", ["3", '"x"', "[]", "{", '{"stages": 3}', '{"stages": {"fit": []}}', "[" * 100_000])
def test_a_manifest_that_no_run_writes_tells_nothing(job, text):
    _, _, made = job
    (made.folder / "checkpoints").mkdir()
    (made.folder / "checkpoints" / "best.ckpt").touch()
    (made.folder / CONFIG).touch()
    (made.folder / MANIFEST).write_text(text)
    assert not is_trained(made.folder)
    assert not results._is_synthetic(made)


# Checkpoints


def saved(tmp_path, state, info, **more):
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "medlit": info, **more}, path)
    return path


def restored(path, model):
    restore(model, *read_checkpoint(path), source=path.name, class_names=CLASSES, folds={"fold": 0})


NOT_WHOLE = {
    "sparse": lambda tensor: tensor.to_sparse(),
    "without data": lambda tensor: tensor.to("meta"),
    "repeated": lambda tensor: torch.zeros(1).expand(1 << 40),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch says that it checks no sparse tensors
@pytest.mark.parametrize("change", NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_a_tensor_without_its_values_is_refused_before_anything_computes_with_it(tmp_path, change):
    model = early_intervention()
    state, info = kept(model)
    name = sorted(state)[0]
    path = saved(tmp_path, {**state, name: change(state[name])}, info)
    assert "a tensor without its values" in refusal(CheckpointMismatchError, restored, path, model)


def test_tensors_in_lists_that_hold_themselves_are_found(tmp_path):
    nested = [torch.zeros(2, device="meta")]
    nested.append(nested)
    path = tmp_path / "x.ckpt"
    torch.save({"a": nested}, path)
    assert "a tensor without its values" in refusal(CheckpointMismatchError, read_file, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state, name: {**state, name: "text"}, "is no tensor"),
        (lambda state, name: {**state, name: state[name].to(torch.int64)}, "has in another type 1 trained tensors"),
    ],
)
def test_weights_that_are_no_floats_are_refused(tmp_path, change, said):
    model = early_intervention()
    state, info = kept(model)
    path = saved(tmp_path, change(state, sorted(state)[0]), info)
    assert said in refusal(CheckpointMismatchError, restored, path, model)


def test_a_number_for_a_name_of_a_tensor_is_refused(tmp_path):
    state, info = kept(early_intervention())
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {3: next(iter(state.values()))}, "medlit": info}, path)
    assert "'3' of its weights is no tensor" in refusal(CheckpointMismatchError, read_checkpoint, path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"foundation": {"name": 3, "fingerprint": 5}}, "trained on other foundation weights (3, 5)"),
        ({"folds": 3}, "its 'folds' say nothing"),
        ({"class_names": torch.zeros(3)}, "holds no plain values"),
    ],
)
def test_a_checkpoint_that_says_nonsense_of_itself_is_refused(tmp_path, changes, said):
    model = early_intervention()
    state, info = kept(model)
    assert said in refusal(CheckpointMismatchError, restored, saved(tmp_path, state, {**info, **changes}), model)


@pytest.mark.parametrize("changes", [{"tokenizer": "words"}, {"folds": 3}])
def test_a_pretraining_that_says_nonsense_of_itself_is_refused(tmp_path, changes):
    model = mama()
    path = saved(tmp_path, model.trained_state(), {**mama_info(model), **changes})
    state, info = read_checkpoint(path)
    said = refusal(
        CheckpointMismatchError, restore_mama, model, state, info, source="x.ckpt", tokenizer={"source": "a", "separator": "b"}
    )
    assert "'medlit' entry is incomplete" in said


def test_callbacks_that_lightning_does_not_write_stop_nothing(tmp_path):
    for name in (CONFIG, "checkpoints/best.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / MANIFEST).write_text("{}")
    for callbacks in (3, {"EarlyStopping": 3}, {"EarlyStopping": {}}, {"EarlyStopping": {"wait_count": "x", "patience": 1}}):
        torch.save({"callbacks": callbacks}, tmp_path / "checkpoints" / "last.ckpt")
        assert not is_trained(tmp_path)


def test_a_released_state_of_nothing_is_refused():
    assert "no checkpoint of the released" in refusal(CheckpointMismatchError, describe, {})


# Volumes: nothing was found; what came nearest stays here


def test_a_volume_whose_header_is_written_by_python_2_is_read_or_refused(tmp_path):
    from data_modules.volumes import open_volume

    stream = io.BytesIO()
    np.save(stream, np.zeros((1, 2, 3), np.uint8))
    path = tmp_path / "v.npy"
    path.write_bytes(stream.getvalue().replace(b"(1, 2, 3)", b"(1L,2, 3)"))
    with pytest.warns(UserWarning, match="additional header parsing"):
        assert open_volume(path).shape == (1, 2, 3)
