"""What a process that prepares images or feeds a DataLoader does not import."""

import pickle
import subprocess
import sys

import pytest

from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.image_text import PairSettings
from tests.data_modules.mammography.prepared_trees import pristine
from tests.data_modules.mammography.shards.trees import pristine_shards


def imported(code):
    """Names of the modules that a fresh interpreter has imported after some code."""
    script = f"{code}\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_alone_imports_nothing_heavy():
    assert not {"torch", "polars", "lightning", "cv2"} & imported("import data_modules.mammography")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("root", "settings"),
    [(pristine, {}), (pristine, {"pretraining": PairSettings()}), (pristine_shards, {})],
    ids=["classification", "pretraining", "shards"],
)
def test_a_worker_imports_no_polars_and_no_lightning(tmp_path, root, settings):
    data = EMBEDDataModule(root=root("embed"), img_size=12, **settings)
    data.setup("fit")
    dataset = data.dataset("train", training=True)
    (tmp_path / "dataset").write_bytes(pickle.dumps((dataset, dataset.collate)))
    code = (
        "import pickle, pathlib; "
        f"dataset, collate = pickle.loads(pathlib.Path({str(tmp_path / 'dataset')!r}).read_bytes()); "
        "collate([dataset[0, 1], dataset[1, 2]])"
    )
    assert not {"polars", "lightning", "pydicom"} & imported(code)
