"""Every shipped experiment, overlay and recipe parses, fits what it claims to fit, and says what it reproduces."""

import copy
from itertools import cycle
from pathlib import Path

import pytest
import yaml

from medlit import lightning_cli
from medlit.commands.demo import MODALITIES
from medlit.recipes.plan import plan
from medlit.recipes.published import read_published
from medlit.recipes.recipe import read_recipe
from medlit.tasks import PaperCyclicLR

ROOT = Path(__file__).parents[1]
EXPERIMENTS = ROOT / "experiments"
MAMA = ("mama", "clip_embed", "slip", "zero", "probe", "linear", "finetune", "sgd")
"""How the names begin of what belongs to MaMA; test_mama_experiments.py is about those."""
FILES = [path for path in sorted(EXPERIMENTS.rglob("*.yaml")) if not path.stem.startswith(MAMA)]
OVERLAYS = [path for path in FILES if path.parent.name == "overlays"]
RECIPES = [path for path in FILES if path.parent.name == "recipes"]
OURS = [EXPERIMENTS / "ei_rsna_mammo.yaml", EXPERIMENTS / "unimodal_rsna_mammo.yaml"]
"""On sets that no table of the paper has."""
WHOLE = [path for path in FILES if path.parent == EXPERIMENTS and path not in OURS]
KINDS = {kind: [path for path in WHOLE if path.name.startswith(f"{kind}_")] for kind in ("unimodal", "ei", "fusion")}
TINY = EXPERIMENTS / "overlays" / "tiny.yaml"

CASES = {"derm7pt": 5 * 256, "mmc_amd": 4 * 292, "mrnet": 5 * 387}
"""By set, balanced training cases of an epoch; of MRNet as its experiments estimate them."""
SIZES = {"derm7pt": 518, "mmc_amd": 448, "mrnet": 266}
CLIP_SIZES = {"derm7pt": 512, "mmc_amd": 448, "mrnet": 256}
FITS = {"fusion": ["fusion"], "ablation": ["ei"], "fidelity": ["ei", "unimodal"]}
"""By first word of an overlay's name, the kinds of experiments that it is for; others are for every experiment."""


def name(path):
    return path.relative_to(EXPERIMENTS).as_posix()


def set_of(path):
    return next(known for known in CASES if f"_{known}" in path.stem)


def kind_of(path):
    return next(kind for kind, paths in KINDS.items() if path in paths)


FIRST = [next(path for path in paths if set_of(path) == known) for paths in KINDS.values() for known in CASES]
"""One of each kind for each set: the others of the set are the same but for their modality, as a test sees to."""


def kinds_of(overlay):
    return FITS.get(first_word(overlay), list(KINDS))


def first_word(overlay):
    return overlay.stem.partition("_")[0]


def leaves(content, place=()):
    """Paths of the values that a file sets; a list is one value."""
    if isinstance(content, dict):
        return {leaf for key in content for leaf in leaves(content[key], (*place, key))}
    return {place}


def clash(first, second):
    """Whether two overlays set the same thing, or one what the other sets a part of."""
    ours, theirs = (leaves(yaml.safe_load(path.read_text())) for path in (first, second))
    return any(one[: len(other)] == other[: len(one)] for one in ours for other in theirs)


def stacks(overlays):
    """Overlays in piles of those that leave each other alone: to parse takes long, and a pile is parsed at once."""
    piles = []
    for overlay in overlays:
        home = next((pile for pile in piles if not any(clash(overlay, other) for other in pile)), None)
        if home is None:
            piles.append([overlay])
        else:
            home.append(overlay)
    return piles


def combinations():
    """Each overlay with an experiment of every kind that it is for, the sets in turn, and the tiny one with all."""
    for kind, paths in KINDS.items():
        overlays = [overlay for overlay in OVERLAYS if kind in kinds_of(overlay) and overlay != TINY]
        others, shrunk = [], []
        for pile in stacks(overlays):
            (others if any(clash(TINY, overlay) for overlay in pile) else shrunk).append(pile)
        yield from ((path, tuple(pile)) for path, pile in zip(cycle(paths), others, strict=False))
        rest = [[] for _ in paths[len(shrunk) :]]
        yield from ((path, (*pile, TINY)) for path, pile in zip(cycle(paths), [*shrunk, *rest], strict=False))


@pytest.fixture
def parsed(capsys):
    """The configuration that ``medlit fit`` would run, every default filled in."""

    def parse(*paths):
        configs = [word for path in paths for word in ("--config", str(path))]
        with pytest.raises(SystemExit) as stop:
            lightning_cli.main(["fit", *configs, "--print_config"])
        assert stop.value.code == 0
        return yaml.safe_load(capsys.readouterr().out)

    return parse


def missing(expected, found, place=""):
    """Places where a configuration is not what a file asks for."""
    if isinstance(expected, dict):
        below = found if isinstance(found, dict) else {}
        return [where for key in expected for where in missing(expected[key], below.get(key), f"{place}.{key}")]
    if isinstance(expected, list) and expected and isinstance(expected[0], dict):
        pairs = zip(expected, found, strict=True) if len(expected) == len(found or ()) else [(expected, None)]
        return [where for pair in pairs for where in missing(*pair, place)]
    return [] if expected == found else [f"{place}: {expected} is {found}"]


def test_none_is_forgotten():
    unimodal = {f"unimodal_{known}_{modality}.yaml" for known in MODALITIES for modality in MODALITIES[known]}
    assert set(MODALITIES) == set(CASES)
    assert {path.name for path in KINDS["unimodal"]} == unimodal
    assert {path.name for path in KINDS["ei"]} == {f"ei_{known}.yaml" for known in CASES}
    assert {path.name for path in RECIPES} == {f"ei_{known}{end}.yaml" for known in CASES for end in ("", "_clip")}
    assert sum(map(len, KINDS.values())) == len(WHOLE)
    assert sorted([*WHOLE, *OURS, *OVERLAYS, *RECIPES]) == FILES
    assert {path.name for path in KINDS["fusion"]} == {f"fusion_{known}.yaml" for known in CASES}
    assert len(OVERLAYS) == 17


def test_every_overlay_is_tried_with_what_it_is_for():
    tried = {(kind_of(path), overlay) for path, overlays in combinations() for overlay in overlays}
    assert tried == {(kind, overlay) for overlay in OVERLAYS for kind in kinds_of(overlay)}
    assert {path for path, overlays in combinations() if TINY in overlays} == set(WHOLE)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_comment_at_the_top_says_what_it_is(path):
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", [*WHOLE, *RECIPES], ids=name)
def test_says_what_it_reproduces(path):
    header = "".join(line for line in path.read_text().splitlines(keepends=True) if line.startswith("# "))
    assert "arXiv 2603.17514" in header
    assert "GPU" in header


@pytest.mark.parametrize("path", OURS, ids=name)
def test_ours_say_that_they_are_not_the_papers(path):
    header = path.read_text().partition("seed_everything")[0]
    assert "not from the" in header
    assert "GPU" in header


@pytest.mark.parametrize("path", OURS, ids=name)
def test_ours_parse_alone_and_shrunk(path, parsed):
    config = parsed(path)
    assert missing(yaml.safe_load(path.read_text()), config) == []
    assert config["data"]["init_args"]["preparation"] is None
    shrunk = parsed(path, TINY)
    assert missing(yaml.safe_load(TINY.read_text()), shrunk) == []


def test_ours_read_images_alone_and_views_together():
    data = {path.stem: yaml.safe_load(path.read_text())["data"]["init_args"] for path in OURS}
    assert (data["unimodal_rsna_mammo"]["level"], data["unimodal_rsna_mammo"]["modalities"]) == ("image", ["mammogram"])
    assert (data["ei_rsna_mammo"]["level"], data["ei_rsna_mammo"]["modalities"]) == ("breast", ["CC", "MLO"])


@pytest.mark.parametrize("path", FIRST, ids=name)
def test_is_the_papers_setting(path, parsed):
    config = parsed(path)
    data, model = config["data"]["init_args"], config["model"]["init_args"]["model"]["init_args"]
    assert (data["img_size"], data["batch_size"], data["balanced_sampling"]) == (SIZES[set_of(path)], 8, True)
    assert model["backbone"] == "vit_base_patch14_reg4_dinov2.lvd142m"
    adapter = model["adapter"]["init_args"]
    assert (adapter["ranks"], adapter["alphas"]) == ([2, 4, 8], [4.0, 8.0, 16.0])
    assert adapter["target_modules"] == ["mlp.fc1", "mlp.fc2"]
    optimizer = config["model"]["init_args"]["optimizer"]
    assert optimizer["class_path"] == "torch.optim.SGD"
    assert (optimizer["init_args"]["momentum"], optimizer["init_args"]["weight_decay"]) == (0.95, 1e-4)
    scheduler = config["model"]["init_args"]["scheduler"]
    assert scheduler["class_path"].endswith(PaperCyclicLR.__name__)
    assert scheduler["init_args"]["step_size_up"] == 4 * (CASES[set_of(path)] // 8 + 1)  # the released epoch's steps
    assert config["trainer"]["max_epochs"] == 200
    assert stopping(config) == ("val/map", "max", 10)


@pytest.mark.parametrize("path", WHOLE, ids=name)
def test_reads_the_modalities_of_its_name(path):
    known = set_of(path)
    alone = path.stem.removeprefix(f"unimodal_{known}_")
    modalities = yaml.safe_load(path.read_text())["data"]["init_args"]["modalities"]
    assert modalities == ([alone] if kind_of(path) == "unimodal" else list(MODALITIES[known]))


def stopping(config):
    callbacks = {entry["class_path"]: entry.get("init_args", {}) for entry in config["trainer"]["callbacks"]}
    found = callbacks["lightning.pytorch.callbacks.EarlyStopping"]
    return found["monitor"], found["mode"], found["patience"]


@pytest.mark.parametrize("path", KINDS["ei"], ids=name)
def test_the_last_modality_is_the_better_one_for_the_gate(path):
    prior = yaml.safe_load(path.read_text())["model"]["init_args"]["prior"]
    *others, last = MODALITIES[set_of(path)]
    assert prior == {**dict.fromkeys(others, 1), last: 0.001}


@pytest.mark.parametrize(
    ("path", "overlays"),
    list(combinations()),
    ids=lambda given: getattr(given, "stem", None) or "-".join(map(name, given)),
)
def test_an_overlay_fits_what_it_is_for(path, overlays, parsed):
    config = parsed(path, *overlays)
    for overlay in overlays:
        assert missing(yaml.safe_load(overlay.read_text()), config) == []
    if TINY in overlays:
        assert "momentum" not in config["model"]["init_args"]["optimizer"]["init_args"]
        assert stopping(config) == ("val/map", "max", 20)


@pytest.mark.parametrize("path", RECIPES, ids=name)
def test_a_recipe_trains_both_stages_three_times(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    known, clip = set_of(path), path.stem.endswith("_clip")
    recipe = read_recipe(path)
    modalities = MODALITIES[known]
    assert recipe.name == path.stem
    assert recipe.seeds == (0, 1, 2)
    assert len(plan(recipe, Path("out"))) == 3 * (len(modalities) + 1)
    assert dict(recipe.stages["ei"].init_from) == {modality: f"unimodal_{modality}" for modality in modalities}
    for modality in modalities:
        assert recipe.stages[f"unimodal_{modality}"].configs == (f"experiments/unimodal_{known}_{modality}.yaml",)
    assert recipe.stages["ei"].configs == (f"experiments/ei_{known}.yaml",)
    assert recipe.configs_after == (("experiments/overlays/clip.yaml",) if clip else ())
    assert dict(recipe.settings) == ({"data.init_args.img_size": CLIP_SIZES[known]} if clip else {})
    published = read_published(str(recipe.published))
    assert recipe.published == f"{known}_{'clip' if clip else 'dinov2'}_b"
    assert "Early Intervention" in published.rows
    assert clip or set(recipe.compare) < set(published.rows)


@pytest.mark.parametrize("known", CASES)
def test_all_experiments_of_a_set_differ_in_their_task_alone(known):
    settings = []
    for path in WHOLE:
        if set_of(path) != known:
            continue
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
    assert len(settings) > len(MODALITIES[known])
    assert all(config == settings[0] for config in settings)
