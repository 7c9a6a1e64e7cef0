"""What a worker does with one image."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from data_modules.errors import OutputError
from data_modules.mammography.prepare.pool import run_jobs
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepare.work import Job, encode, failed, prepare_image, source_facts
from tests.data_modules.mammography.prepare import crew
from tests.data_modules.mammography.prepare.trees import breast, contents, dicom

SETTINGS = PreparationSettings(long_side=32)


@pytest.fixture
def job(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "out/.partial").mkdir(parents=True)
    (tmp_path / "raw/a.dcm").write_bytes(dicom(breast("L", seed=[1])))
    return Job("a.dcm", "a.dcm", str(tmp_path / "raw"), str(tmp_path / "out"), SETTINGS)


def test_pngs_are_sixteen_bits_and_lossless():
    pixels = np.random.default_rng(0).integers(0, 2**16, (40, 30), dtype=np.uint16)
    content = encode(pixels)
    assert content == encode(pixels)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED), pixels)
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.mode, picture.size) == ("I;16", (30, 40))


def test_a_worker_imports_nothing_heavy_and_uses_one_thread(job):
    [(_, answer)] = run_jobs(crew.heavy_after, [job], workers=1, seconds=60)
    assert answer == ("images/a.png", set(), 1)


def test_a_failure_is_recorded_without_the_path_of_the_machine(job, tmp_path):
    (tmp_path / "raw/a.dcm").write_bytes(b"no mammogram")
    (tmp_path / "out/images").mkdir()
    (tmp_path / "out/images/a.png").write_bytes(b"of an earlier run")
    row = prepare_image(job)
    assert row["error_kind"] == "unreadable image"
    assert str(tmp_path) not in row["error"]
    assert row["source_bytes"] == 12
    assert contents(tmp_path / "out") == {}


def test_a_source_that_is_gone_meanwhile_is_unreadable(job, tmp_path):
    (tmp_path / "raw/a.dcm").unlink()
    assert prepare_image(job)["error_kind"] == "unreadable file"


def test_an_output_that_cannot_be_written_is_no_matter_of_the_file(job, tmp_path):
    (tmp_path / "out/images").write_bytes(b"a file in place of the folder")
    with pytest.raises(OutputError, match="cannot be written"):
        prepare_image(job)
    assert failed({"image": "a.dcm"}, job.out, "empty file", "two\nlines")["error"] == "two lines"


def test_a_source_is_known_by_size_hash_and_time(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    facts = source_facts(path)
    assert facts["source_bytes"] == 3
    # NIST, FIPS 180-2, appendix B.1: the hash of "abc"
    assert facts["source_sha256"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert facts["source_mtime_ns"] == path.stat().st_mtime_ns
