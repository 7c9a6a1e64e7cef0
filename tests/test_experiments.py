"""Every shipped experiment parses, alone and with every overlay, and says what it reproduces."""

import copy
from pathlib import Path

import pytest
import yaml

from medlit import lightning_cli
from medlit.tasks import PaperCyclicLR

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
FILES = sorted(EXPERIMENTS.rglob("*.yaml"))
OVERLAYS = [path for path in FILES if path.parent.name == "overlays"]
WHOLE = [path for path in FILES if path not in OVERLAYS]


def name(path):
    return path.relative_to(EXPERIMENTS).as_posix()


def parsed(capsys, *paths):
    """The configuration that ``medlit fit`` would run, every default filled in."""
    configs = [word for path in paths for word in ("--config", str(path))]
    with pytest.raises(SystemExit) as stop:
        lightning_cli.main(["fit", *configs, "--print_config"])
    assert stop.value.code == 0
    return yaml.safe_load(capsys.readouterr().out)


def test_none_is_forgotten():
    assert [name(path) for path in FILES] == [
        "ei_derm7pt.yaml",
        "overlays/tiny.yaml",
        "unimodal_derm7pt_clinic.yaml",
        "unimodal_derm7pt_derm.yaml",
    ]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_comment_at_the_top_says_what_it_is(path):
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_says_what_it_reproduces(path):
    header = path.read_text().split("\nseed_everything")[0]
    assert "arXiv 2603.17514" in header
    assert "GPU" in header


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_is_the_papers_setting(path, capsys):
    config = parsed(capsys, path)
    data, model = config["data"]["init_args"], config["model"]["init_args"]["model"]["init_args"]
    assert (data["img_size"], data["batch_size"], data["balanced_sampling"]) == (518, 8, True)
    assert model["backbone"] == "vit_base_patch14_reg4_dinov2.lvd142m"
    adapter = model["adapter"]["init_args"]
    assert (adapter["ranks"], adapter["alphas"]) == ([2, 4, 8], [4.0, 8.0, 16.0])
    assert adapter["target_modules"] == ["mlp.fc1", "mlp.fc2"]
    optimizer = config["model"]["init_args"]["optimizer"]
    assert optimizer["class_path"] == "torch.optim.SGD"
    assert (optimizer["init_args"]["momentum"], optimizer["init_args"]["weight_decay"]) == (0.95, 1e-4)
    assert config["model"]["init_args"]["scheduler"]["class_path"].endswith(PaperCyclicLR.__name__)
    assert config["trainer"]["max_epochs"] == 200


@pytest.mark.parametrize(("overlays", "patience"), [([], 10), (OVERLAYS, 20)], ids=["alone", "with overlays"])
@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_stops_early(path, overlays, patience, capsys):
    entries = parsed(capsys, path, *overlays)["trainer"]["callbacks"]
    callbacks = {entry["class_path"]: entry.get("init_args", {}) for entry in entries}
    stopping = callbacks["lightning.pytorch.callbacks.EarlyStopping"]
    assert (stopping["monitor"], stopping["mode"], stopping["patience"]) == ("val/map", "max", patience)


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_the_schedule_counts_steps_of_the_released_epoch(path):
    scheduler = yaml.safe_load(path.read_text())["model"]["init_args"]["scheduler"]["init_args"]
    cases = 5 * 256  # balanced
    assert scheduler["step_size_up"] == 4 * (cases // 8 + 1)


@pytest.mark.parametrize("overlay", OVERLAYS, ids=name)
@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_an_overlay_fits_every_experiment(path, overlay, capsys):
    config = parsed(capsys, path, overlay)
    expected = yaml.safe_load(overlay.read_text())
    assert config["data"]["init_args"]["img_size"] == expected["data"]["init_args"]["img_size"]
    assert config["model"]["init_args"]["model"]["init_args"]["pretrained"] is False
    assert config["trainer"]["max_epochs"] == expected["trainer"]["max_epochs"]
    assert "momentum" not in config["model"]["init_args"]["optimizer"]["init_args"]


def test_both_stages_differ_in_their_task_alone():
    settings = []
    for path in WHOLE:
        config = copy.deepcopy(yaml.safe_load(path.read_text()))
        config["data"]["init_args"].pop("modalities")
        task = config["model"]["init_args"]
        for key in ("prior", "fidelity", "init_from"):
            task.pop(key, None)
        for key in ("intervene_at", "gradient_checkpointing"):
            task["model"]["init_args"].pop(key, None)
        task["model"].pop("class_path")
        config["model"].pop("class_path")
        settings.append(config)
    assert settings[0] == settings[1] == settings[2]
