"""Bad input ends in one line that names file, row and value, and in exit code 2; a NaN loss in exit code 1."""

import pytest

from tests.data_modules.trees import COLUMNS, edit_meta, make_derm7pt, read_meta, write_indexes, write_meta
from tests.medlit.command_line import tiny, warm

pytestmark = pytest.mark.slow

ROW = 5
LINE = f"meta/meta.csv line {ROW + 2} (row {ROW})"
CASES = 12


@pytest.fixture
def root(tmp_path):
    """A small sound release in which every case trains."""
    root = make_derm7pt(tmp_path / "derm7pt", cases=CASES)
    write_indexes(root, train=list(range(8)), valid=[8, 9], test=[10, 11])
    return root


@pytest.fixture
def fit(tmp_path):
    """Train on the data below a root for an epoch, and give what the script said."""

    def run(root, *options):
        return warm("fit", *tiny(root, tmp_path / "run"), "--trainer.max_epochs", 1, *options, cwd=tmp_path)

    return run


def the_line(done, code=2):
    """The only line on standard error."""
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("medlit: error: ")
    return done.stderr


def image_of(root, row, modality="derm"):
    return root / "images" / read_meta(root)[row][modality]


def test_no_root(fit, tmp_path):
    line = the_line(fit(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in line
    assert "medlit data synth derm7pt --root" in line
    assert not (tmp_path / "run" / "config.yaml").exists()


@pytest.mark.parametrize("table", ["meta.csv", "train_indexes.csv"])
def test_missing_table(fit, root, table):
    (root / "meta" / table).unlink()
    line = the_line(fit(root))
    assert f"meta/{table}" in line
    assert str(root) in line


def test_missing_column(fit, root):
    write_meta(root, read_meta(root), columns=[name for name in COLUMNS if name != "derm"])
    line = the_line(fit(root))
    assert "meta/meta.csv" in line
    assert "no column 'derm'" in line


def test_missing_image(fit, root):
    image = image_of(root, ROW)
    image.unlink()
    line = the_line(fit(root))
    assert f"{LINE}, column derm" in line
    assert image.name in line


def test_index_out_of_range(fit, root):
    write_indexes(root, train=[0, 1, 99])
    line = the_line(fit(root))
    assert "meta/train_indexes.csv line 4 (row 2)" in line
    assert "99" in line


def test_unknown_diagnosis(fit, root):
    edit_meta(root, ROW, diagnosis="sunburn")
    line = the_line(fit(root))
    assert f"{LINE}, column diagnosis" in line
    assert "'sunburn'" in line


def test_truncated_image(fit, root):
    image = image_of(root, ROW)
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    line = the_line(fit(root))
    assert str(image) in line
    assert LINE in line


def test_text_named_as_an_image_in_a_loaders_worker(fit, root):
    image = image_of(root, ROW, "clinic")
    image.write_text("no picture")
    line = the_line(fit(root, "--data.num_workers", 1))
    assert str(image) in line
    assert LINE in line


def test_path_that_leaves_the_root(fit, root):
    edit_meta(root, ROW, clinic="../../etc/passwd")
    line = the_line(fit(root))
    assert f"{LINE}, column clinic" in line
    assert "'../../etc/passwd'" in line


def test_checkpoint_of_other_foundation_weights_and_run_in_the_way(fit, root, tmp_path):
    assert fit(root, "--test_after_fit", "false").returncode == 0
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    other = "{depth: 2, embed_dim: 32, num_heads: 2, weight_init: jax}"  # same shapes, other numbers
    options = [*tiny(root, tmp_path / "run"), "--model.model.model_args", other]
    line = the_line(warm("test", *options, "--ckpt_path", best, cwd=tmp_path))
    assert str(best) in line
    assert "other foundation weights" in line
    assert "vit_base_patch16_224" in line
    line = the_line(fit(root))
    assert "already holds a run" in line
    assert "--overwrite true" in line


def test_no_checkpoint_to_test(root, tmp_path):
    line = the_line(warm("test", *tiny(root, tmp_path / "run"), cwd=tmp_path))
    assert f"{tmp_path}/run/checkpoints/best.ckpt does not exist" in line
    assert "medlit fit" in line


def test_loss_that_is_no_number(fit, root):
    done = fit(root, "--model.optimizer.lr", "1e20", "--trainer.max_epochs", 4, "--data.batch_size", 4)
    line = the_line(done, code=1)
    for word in ("epoch", "step", "case"):
        assert word in line


@pytest.mark.parametrize("row", [None, ROW])
def test_data_check_says_whether_training_would_be_sound(root, tmp_path, row):
    if row is not None:
        edit_meta(root, row, diagnosis="sunburn")
    done = warm("data", "check", "derm7pt", "--root", root, cwd=tmp_path)
    assert done.returncode == (0 if row is None else 2)
    assert ("sunburn" in done.stdout) == (row is not None)
