"""``medlit doctor`` as it is used: a line per check, exit code 2 where something is wrong, one voice per node."""

import json
import subprocess
import sys

import pytest
import yaml

from data_modules.synthetic import derm7pt
from medlit.commands import weights
from medlit.commands.doctor import main
from medlit.errors import ConfigurationError
from tests.medlit.command_line import EXPERIMENTS, tiny
from tests.medlit.test_code_paths import VALID


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "derm7pt"
    derm7pt.write(folder, cases=24, seed=0, img_size=32)
    return folder


def test_of_several_tasks_on_a_node_one_speaks(capsys, monkeypatch):
    monkeypatch.setenv("SLURM_LOCALID", "1")
    assert main(["--config", "nowhere.yaml"]) == 0
    assert capsys.readouterr() == ("", "")


def test_it_explains_itself_without_importing_torch():
    code = "import sys\nfrom medlit.commands import doctor, weights\nfor verb in (doctor, weights):\n    try:\n"
    code += "        verb.main(['--help'])\n    except SystemExit:\n        pass\nsys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "exit code 2 where something is wrong" in " ".join(done.stdout.split())


@pytest.mark.slow
def test_a_configuration_is_judged_with_the_machine(root, tmp_path, capsys):
    assert main([*map(str, tiny(root, tmp_path / "run"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    checks = [line.split(None, 1)[1].split(":")[0] for line in lines]
    first = ["python", "packages", "imports", "gloo over 2 processes", "devices", "open files", "configuration"]
    last = ["devices", "precision", "shared memory", "run folder", "run", "clock", "data", "model", "free space"]
    assert [check for check in checks if not check.startswith("nccl")] == [*first, *last]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_everything_that_is_wrong_is_told_at_once(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NUM_NODES", "2")
    words = ["--config", str(EXPERIMENTS / "ei_derm7pt.yaml"), "--data.root", str(tmp_path / "none")]
    words += ["--run_dir", "/proc/run", "--trainer.accelerator", "cuda", "--trainer.devices", "1000"]
    assert main([*words, "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    wrong = {finding["check"]: finding["said"] for finding in found if finding["state"] == "wrong"}
    assert list(wrong) == ["devices", "run folder", "data", "backbone", "free space"]
    assert "Derm7pt not found" in wrong["data"]
    assert wrong["backbone"].startswith("run medlit weights fetch where there is network; no network and no cached")
    assert {finding["check"] for finding in found if finding["state"] == "ok"} >= {"model", "configuration"}
    assert len({finding["node"] for finding in found}) == 1


@pytest.mark.slow
def test_a_wrong_key_is_told_with_its_place_and_ends_it(tmp_path, capsys):
    (tmp_path / "x.yaml").write_text("trainer:\n  max_epoch: 3\n")
    assert main(["--config", str(tmp_path / "x.yaml")]) == 2
    expected = f"configuration: {tmp_path}/x.yaml:2: unknown key 'trainer.max_epoch'; did you mean 'max_epochs'?"
    assert capsys.readouterr().out.splitlines()[-1] == f"wrong    {expected}"


@pytest.mark.slow
def test_data_of_ones_own_with_other_settings_are_judged_as_far_as_they_are_known(root, tmp_path, monkeypatch, capsys):
    (tmp_path / "own_data.py").write_text(
        "from data_modules.skin import Derm7ptDataModule\n"
        "class Own(Derm7ptDataModule):\n"
        "    def __init__(self, root: str, modalities: list[str], img_size: list[int], num_workers: int = 1):\n"
        "        super().__init__(root=root, modalities=modalities, img_size=img_size[0], num_workers=num_workers)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = {"root": str(root), "modalities": ["derm"], "img_size": [32, 32]}
    settings = {**VALID, "data": {"class_path": "own_data.Own", "init_args": data}}
    settings |= {"run_dir": str(tmp_path / "run"), "trainer": {"accelerator": "cpu", "devices": 1}}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(settings))
    assert main(["--config", str(tmp_path / "x.yaml"), "--allow-code", "true", "--json"]) == 0
    said = {finding["check"]: finding["said"] for finding in json.loads(capsys.readouterr().out)}
    assert said["shared memory"].endswith("free in /dev/shm")
    assert said["data"].startswith("Own: ")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["doctor", "weights"])
def test_code_that_a_configuration_may_not_name_is_not_run(tmp_path, monkeypatch, capsys, verb):
    (tmp_path / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'opened')!r})\nclass Model: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "x.yaml").write_text("model:\n  class_path: evil.Model\n")
    words = ["--config", str(tmp_path / "x.yaml")]
    if verb == "doctor":
        assert main(words) == 2
        assert "wrong    configuration" in capsys.readouterr().out
    else:
        with pytest.raises(ConfigurationError, match=r"x\.yaml:2: .*evil\.Model"):
            weights.main(["list", *words])
    assert not (tmp_path / "opened").exists()
