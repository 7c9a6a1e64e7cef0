"""The audit of a prepared folder: the manifest against the tables, the outputs and itself."""

import json
import shutil

import polars as pl
import pytest

from data_modules.errors import PreparationMismatchError
from data_modules.mammography.prepare.run import prepare_set
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.vindr.tables import SET
from tests.data_modules.mammography.csv_tables import edit_csv, read_csv
from tests.data_modules.mammography.look_alikes import AUDITS, copy_of

audit_vindr_mammo = AUDITS["vindr_mammo"]
BREASTS = "breast-level_annotations.csv"


def image(root, row):
    cells = read_csv(root / BREASTS)[row]
    return f"images/{cells['study_id']}/{cells['image_id']}.dicom"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The third image is broken, the fifth missing, and the second a copy of the first."""
    folder = tmp_path_factory.mktemp("prepared")
    raw = copy_of("vindr_mammo", folder)
    shutil.copyfile(raw / image(raw, 0), raw / image(raw, 1))
    (raw / image(raw, 2)).write_bytes(b"no image")
    (raw / image(raw, 4)).unlink()
    prepare_set(SET, raw, folder / "out", settings=PreparationSettings(long_side=32), workers=1)
    return folder / "out"


@pytest.fixture
def root(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "out")


def edit_manifest(root, **columns):
    manifest = pl.read_parquet(root / "manifest.parquet")
    manifest.with_columns(**columns).write_parquet(root / "manifest.parquet")


def first(column, value):
    """A column with another value in its first row that has an output."""
    has_output = pl.col("output").is_not_null()
    return pl.when(has_output & (has_output.cum_sum() == 1)).then(pl.lit(value)).otherwise(pl.col(column))


def test_a_prepared_folder_is_sound_and_what_failed_is_told_of(prepared):
    audit = audit_vindr_mammo(prepared)
    assert audit.sound
    rows = len(read_csv(prepared / BREASTS))
    assert audit.by_kind("note")["prepared"][1] == f"{rows - 2} of {rows} images"
    assert "long_side 32" in audit.by_kind("note")["prepared"][0]
    quirks = audit.by_kind("quirk")
    [unreadable] = quirks["not prepared: unreadable image"]
    assert unreadable.startswith(f"{image(prepared, 2)}: ")
    [missing] = quirks["not prepared: missing file"]
    assert missing.startswith(f"{image(prepared, 4)}: ")
    [twice] = quirks["the same picture twice"]
    assert image(prepared, 0) in twice
    assert image(prepared, 1) in twice


def test_an_output_that_is_gone_and_one_that_was_changed(root):
    gone, changed, *_ = sorted((root / "images").rglob("*.png"))
    gone.unlink()
    changed.write_bytes(b"another")
    faults = audit_vindr_mammo(root).by_kind("fault")
    assert [message.split(": ")[0] for message in faults["missing output"]] == [str(gone)]
    assert [message.split(": ")[0] for message in faults["changed output"]] == [str(changed)]


def test_an_image_of_the_table_that_is_not_in_the_manifest(root):
    edit_csv(root / BREASTS, 0, image_id="f" * 32)
    faults = audit_vindr_mammo(root).by_kind("fault")
    assert faults["image that was not prepared"][0].startswith(image(root, 0))


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [
        ("laterality_table", "contradicts", "side that table and file tell differently"),
        ("laterality_check", "contradicts", "picture on the other side"),
        ("crop_method", "whole", "no breast found to crop to"),
    ],
)
def test_what_the_manifest_remarks_about_an_image(root, column, value, kind):
    before = audit_vindr_mammo(root).by_kind("quirk").get(kind, [])
    edit_manifest(root, **{column: first(column, value)})
    after = audit_vindr_mammo(root).by_kind("quirk")[kind]
    assert len(after) == len(before) + 1


def test_flags_are_counted(root):
    edit_manifest(root, flags=pl.lit(["partial view", "odd"]))
    readable = pl.read_parquet(root / "manifest.parquet")["output"].is_not_null().sum()
    notes = audit_vindr_mammo(root).by_kind("note")["flags of the files"]
    assert notes == [f"{readable}: odd", f"{readable}: partial view"]


def test_an_unfinished_preparation_is_a_fault(root):
    said = json.loads((root / "prepared.json").read_text()) | {"state": "unfinished"}
    (root / "prepared.json").write_text(json.dumps(said))
    [message] = audit_vindr_mammo(root).by_kind("fault")["preparation not finished"]
    assert f"medlit data prepare vindr_mammo --root RAW --out {root}" in message


def test_a_missing_manifest_is_a_fault(root):
    (root / "manifest.parquet").unlink()
    assert audit_vindr_mammo(root).by_kind("fault").keys() == {"no manifest"}


def test_another_set_is_refused(root):
    said = json.loads((root / "prepared.json").read_text()) | {"set": "embed"}
    (root / "prepared.json").write_text(json.dumps(said))
    with pytest.raises(PreparationMismatchError, match="holds a prepared embed, not vindr_mammo"):
        audit_vindr_mammo(root)
