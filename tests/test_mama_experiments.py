"""Every shipped experiment, overlay and recipe of MaMA parses, is the paper's setting, and says what it reproduces."""

from pathlib import Path

import pytest
import yaml

from medlit.recipes.plan import plan
from medlit.recipes.recipe import read_recipe
from tests.test_experiments import EXPERIMENTS, MAMA, leaves, missing, name, parsed

__all__ = ["parsed"]  # a fixture

FILES = [path for path in sorted(EXPERIMENTS.rglob("*.yaml")) if path.stem.startswith(MAMA)]
OVERLAYS = {path.stem: path for path in FILES if path.parent.name == "overlays"}
RECIPES = [path for path in FILES if path.parent.name == "recipes"]
WHOLE = {path.stem: path for path in FILES if path.parent == EXPERIMENTS}
PRETRAINING = [path for stem, path in WHOLE.items() if stem.startswith(("mama", "clip", "slip"))]
JUDGED = [path for path in WHOLE.values() if path not in PRETRAINING]
SETS = ("embed", "rsna_mammo")
ABLATIONS = ("mama_no_pair", "mama_no_local", "mama_one_sided_local", "mama_no_masking")
TINY = {"mama": ["mama_tiny"], "zero": ["zero_shot_tiny"], "probe": ["probe_tiny"]}
TINY["linear"] = [*TINY["probe"], "sgd_tiny"]
TINY |= {"clip": TINY["mama"], "slip": TINY["mama"], "finetune": TINY["linear"]}
"""Overlays that shrink an experiment, by the first word of its name."""


def read(path):
    return yaml.safe_load(path.read_text())


def header(path):
    return path.read_text().partition("seed_everything")[0]


def tiny(path):
    return [OVERLAYS[stem] for stem in TINY[path.stem.partition("_")[0]]]


def test_none_is_forgotten():
    pretraining = {"mama_embed", "clip_embed", "slip_embed"}
    judged = {f"{way}_{known}" for way in ("zero_shot", "probe", "linear", "finetune") for known in SETS}
    assert set(WHOLE) == pretraining | judged
    shrinking = {stem for stems in TINY.values() for stem in stems}
    assert set(OVERLAYS) == {*ABLATIONS, *shrinking, "mama_gpu1", "mama_fsdp2"}
    assert len(FILES) == len(WHOLE) + len(OVERLAYS) + len(RECIPES)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_comment_at_the_top_says_what_it_is(path):
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", WHOLE.values(), ids=name)
def test_says_what_it_reproduces_on_which_machine(path):
    assert "arXiv 2409.18119" in header(path)
    assert "GPU" in header(path)
    assert "counted" in header(path)  # hours nobody has measured


@pytest.mark.parametrize("path", JUDGED, ids=name)
def test_says_what_it_comes_after(path):
    assert "After experiments/mama_embed.yaml" in header(path)


@pytest.mark.parametrize("path", WHOLE.values(), ids=name)
def test_parses(path, parsed):
    assert missing(read(path), parsed(path)) == []


SHRUNK = ("mama_embed", "zero_shot_rsna_mammo", "probe_embed", "finetune_rsna_mammo")
"""One for each pile of overlays, in every run of the tests; the others in the slow ones."""


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[] if stem in SHRUNK else pytest.mark.slow, id=stem) for stem, path in WHOLE.items()],
)
def test_fits_a_cpu_under_its_overlays(path, parsed):
    shrunk = parsed(path, *tiny(path))
    for overlay in tiny(path):
        assert missing(read(overlay), shrunk) == []
    assert shrunk["trainer"]["accelerator"] == "cpu"
    assert not words_of(shrunk["model"]) & {"stanford-crfm/BioMedLM", "vit_base_patch14_reg4_dinov2.lvd142m"}


def words_of(content):
    """All texts in a configuration."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        return {word for below in content for word in words_of(below)}
    return {content} if isinstance(content, str) else set()


def test_ablations_and_one_gpu_fit_together_and_change_what_they_say(parsed):
    embed = WHOLE["mama_embed"]
    config = parsed(embed, *(OVERLAYS[stem] for stem in (*ABLATIONS, "mama_gpu1")))
    for stem in (*ABLATIONS, "mama_gpu1"):
        assert missing(read(OVERLAYS[stem]), config) == []
        assert missing(read(OVERLAYS[stem]), read(embed)) != []


def test_sharded_weights_change_the_strategy_alone(parsed):
    embed = read(WHOLE["mama_embed"])
    overlay = read(OVERLAYS["mama_fsdp2"])
    config = parsed(WHOLE["mama_embed"], OVERLAYS["mama_fsdp2"])
    assert missing(overlay, config) == []
    settings = config["trainer"]["strategy"]["init_args"]
    assert settings["data_parallel_size"] == config["trainer"]["devices"] == embed["trainer"]["devices"]
    assert overlay.keys() == {"trainer"}


def test_pretraining_is_the_released_recipe():
    config = read(WHOLE["mama_embed"])
    data, task, trainer = config["data"]["init_args"], config["model"]["init_args"], config["trainer"]
    assert (trainer["devices"], data["batch_size"], trainer["accumulate_grad_batches"]) == (4, 36, 2)
    assert (trainer["max_steps"], task["late_start"], data["img_size"]) == (40_000, 8_000, 518)
    assert trainer["precision"] == "bf16-mixed"
    optimizer, schedule = task["optimizer"]["init_args"], task["scheduler"]["init_args"]
    assert (optimizer["lr"], optimizer["betas"][0], optimizer["weight_decay"]) == (4e-5, 0.9, 0.1)
    assert (schedule["warmup_steps"], schedule["total_steps"], schedule["min_lr"]) == (4_000, 40_000, 1e-8)
    pairs = data["pretraining"]
    assert (pairs["pair"], pairs["pair_probability"], pairs["mask_probability"]) == ("study", 0.5, 0.8)
    assert (pairs["max_tokens"], pairs["style"]) == (144, "structured")
    model = task["model"]["init_args"]
    adapter = model["text"]["adapter"]["init_args"]
    assert (adapter["r"], adapter["lora_alpha"], adapter["lora_dropout"]) == (8, 32, 0.1)
    assert adapter["target_modules"] == ["c_attn"]
    assert (model["embed_dim"], model["local_hidden"]) == (512, 2048)
    loss = task["loss"]["init_args"]
    assert {loss[f"{term}_weight"] for term in ("second_image", "view", "local")} == {1.0}
    assert (loss["temperature"], loss["text_pair"], loss["symmetric"]) == (0.5, "all", True)
    callbacks = {entry["class_path"]: entry.get("init_args") for entry in trainer["callbacks"]}
    best = callbacks["medlit.callbacks.BestCheckpoint"]
    assert (best["monitor"], best["mode"]) == ("val/loss", "min")


def test_clip_and_slip_are_mama_with_losses_off():
    mama = read(WHOLE["mama_embed"])
    for stem, switched in (
        ("clip_embed", {("loss", "second_image_weight"), ("loss", "view_weight"), ("loss", "local_weight")}),
        ("slip_embed", {("loss", "second_image_weight"), ("loss", "local_weight"), ("late_start",), ("pair",)}),
    ):
        other = read(WHOLE[stem])
        changed = {leaf for leaf in leaves(mama) if value(mama, leaf) != value(other, leaf)}
        assert leaves(mama) == leaves(other)
        assert {tuple(key for key in leaf if key in {k for s in switched for k in s}) for leaf in changed} == switched


def value(content, leaf):
    for key in leaf:
        content = content[key]
    return content


def test_one_gpu_has_the_same_batch_and_the_same_negatives():
    four, one = read(WHOLE["mama_embed"]), merged([WHOLE["mama_embed"], OVERLAYS["mama_gpu1"]])

    def negatives(config):
        """Pairs that are compared with each other."""
        return config["trainer"]["devices"] * config["data"]["init_args"]["batch_size"]

    assert negatives(four) == negatives(one)
    assert four["trainer"]["accumulate_grad_batches"] == one["trainer"]["accumulate_grad_batches"]
    assert one["model"]["init_args"]["micro_batch_size"] == four["data"]["init_args"]["batch_size"]


@pytest.mark.parametrize("known", SETS)
def test_probe_and_fine_tuning_are_the_released_recipe(known):
    for way in ("linear", "finetune"):
        config = read(WHOLE[f"{way}_{known}"])
        optimizer = config["model"]["init_args"]["optimizer"]
        assert optimizer["class_path"] == "torch.optim.SGD"
        assert optimizer["init_args"] == {"lr": 5e-4, "weight_decay": 1e-3}
        assert config["trainer"]["max_steps"] == 8_000
        assert (config["data"]["init_args"]["batch_size"], config["trainer"]["devices"]) == (2 * 36, 1)
        assert config["data"]["init_args"]["balanced_sampling"] is True
        model = config["model"]["init_args"]["model"]["init_args"]
        assert model["adapter"] is None
        assert model.get("train_backbone", False) is (way == "finetune")


@pytest.mark.parametrize("path", JUDGED, ids=name)
def test_what_is_judged_has_the_towers_and_images_of_the_pretraining(path):
    for mama, judged in ((WHOLE["mama_embed"], [path]), (OVERLAYS["mama_tiny"], [path, *tiny(path)])):
        trained, found = read(mama), merged(judged)
        tower = trained["model"]["init_args"]["model"]["init_args"]["image"]
        model = found["model"]["init_args"]["model"]["init_args"]
        image = model.get("image", model)
        for key in ("backbone", "model_args", "image_mean", "image_std"):
            assert key not in tower or image[key] == tower[key]
        assert found["data"]["init_args"]["img_size"] == trained["data"]["init_args"]["img_size"]
        if "text" in model:
            text = trained["model"]["init_args"]["model"]["init_args"]["text"]
            assert missing({key: text[key] for key in text if key != "gradient_checkpointing"}, model["text"]) == []
            pairs, words = trained["data"]["init_args"]["pretraining"], found["data"]["init_args"]["class_text"]
            assert all(words[key] == pairs[key] for key in ("tokenizer", "separator", "max_tokens") if key in pairs)


def merged(paths):
    """Files in order, later ones over earlier ones; a list is one value."""
    whole = {}
    for path in paths:
        merge(whole, read(path))
    return whole


def merge(base, over):
    for key, new in over.items():
        if isinstance(new, dict) and isinstance(base.get(key), dict):
            merge(base[key], new)
        else:
            base[key] = new


# Recipes


@pytest.fixture
def recipes(monkeypatch):
    monkeypatch.chdir(EXPERIMENTS.parent)
    return {path.stem: read_recipe(path) for path in RECIPES}


def test_recipes_are_named_after_their_files_and_can_be_planned(recipes):
    assert "mama_protocol" in recipes
    for stem, recipe in recipes.items():
        assert recipe.name == stem
        assert plan(recipe, Path("out"))
        assert "arXiv 2409.18119" in EXPERIMENTS.joinpath("recipes", f"{stem}.yaml").read_text().partition("name:")[0]


def test_the_protocol_asks_every_way_with_every_share_of_the_labels(recipes):
    recipe = recipes["mama_protocol"]
    assert [block.title for block in recipe.protocol] == ["EMBED, BI-RADS", "EMBED, density", "RSNA-Mammo, cancer"]
    shares = {"labels_1": 0.01, "labels_10": 0.1, "labels_100": 1.0}
    for block in recipe.protocol:
        rows = {line.method: line for line in block.lines}
        assert {method: len(line.stages) for method, line in rows.items()} == {
            "zero-shot": 1,
            "zero-shot with metadata": 1,
            **dict.fromkeys(("probe on kept features", "nearest neighbours"), 3),
            **dict.fromkeys(("linear probe as the paper", "fine-tuning"), 3),
        }
        for line in rows.values():
            stages = [recipe.stages[name] for name in line.stages]
            assert all("mama" in stage.weights_from.values() for stage in stages)
            if line.labels is None:
                variants = {stage.name.partition("/")[2]: stage for stage in stages}
                fractions = {name: stage.settings["data.init_args.label_fraction"] for name, stage in variants.items()}
                assert fractions == shares
                assert all(stage.seed_also == ("data.init_args.fraction_seed",) for stage in stages)
                assert len(recipe.seeds_of(variants["labels_1"].name)) >= 5


def test_the_protocol_pretrains_once_and_first(recipes):
    jobs = plan(recipes["mama_protocol"], Path("out"))
    assert next(iter(jobs)) == ("mama", 0, None)
    assert [key for key, job in jobs.items() if not job.after] == [("mama", 0, None)]
    assert {job.after for key, job in jobs.items() if key[0] != "mama"} == {(("mama", 0, None),)}
    says = EXPERIMENTS.joinpath("recipes", "mama_protocol.yaml").read_text().partition("name:")[0]
    zero = sum(key[0].startswith("zero_shot") for key in jobs)
    assert f"the {len(jobs) - 1 - zero} other trainings and {zero} zero-shot tests" in says
