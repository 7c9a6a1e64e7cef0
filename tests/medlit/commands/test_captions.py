"""``medlit data captions``: what it prints of a look-alike, and its exit codes."""

import re

import pytest

from data_modules.errors import DatasetNotFoundError, DataSettingsError
from data_modules.synthetic import embed, vindr_mammo
from medlit.commands import captions, data


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("captions") / "embed"
    embed.write(root, cases=60, seed=0, img_size=48)
    return root


def said(capsys, *args, code=0):
    assert data.main(["captions", *map(str, args)]) == code
    return capsys.readouterr().out


def test_examples_duplicates_and_lengths_are_printed(root, capsys):
    text = said(capsys, "embed", "--root", root, "--n", 3)
    assert text.count("Impression: BI-RADS category") == text.count("\nimages/") == 3
    assert "side left" not in text
    images, captioned = map(int, re.search(r"EMBED: (\d+) images, of which (\d+) have a caption", text).groups())
    assert images - captioned == sum(map(int, re.findall(r"  no \w+: (\d+) left out", text))) > 0
    assert f"Of all {captioned} captions, in style structured, tokens of words:" in text
    assert len(re.findall(r"duplicates  [\d.]+% of all; [\d.]+% within random batches of \d+", text)) == 2
    for least, median, most in re.findall(r"tokens +(\d+) at least, ([\d.]+) median, (\d+) at most", text):
        assert 30 < int(least) <= float(median) <= int(most) <= 144
    assert text.count("cut         0, longer than 144 tokens") == 2


def test_the_same_seed_prints_the_same(root, capsys):
    args = ("embed", "--root", root, "--n", 5, "--style", "natural")
    first = said(capsys, *args)
    assert said(capsys, *args) == first
    assert said(capsys, *args, "--seed", 1) != first


def test_unmasked_sides_and_cut_captions(root, capsys):
    args = ("--n", 2, "--unmasked", "--both-sides", "--mask_probability", 1, "--max-tokens", 30)
    text = said(capsys, "embed", "--root", root, *args)
    assert text.count("Image: unknown, side unknown, view unknown.") == 2
    assert len(re.findall(r"Image: 2D, side (left|right), view (CC|MLO)\.", text)) == 2
    total = re.search(r"Of all (\d+) captions", text)[1]
    assert text.count(f"cut         {total}, longer than 30 tokens") == 2


def test_of_a_split_only_its_images_are_read(root, capsys):
    counts = [
        int(re.search(r"EMBED: (\d+) images", said(capsys, "embed", "--root", root, "--n", 0, *split))[1])
        for split in ((), *(("--split", name) for name in ("train", "val", "test")))
    ]
    assert counts[0] == sum(counts[1:])
    assert counts[1] > counts[3] > 0


def test_a_set_without_procedure_and_reason_has_no_captions(tmp_path, capsys):
    vindr_mammo.write(tmp_path / "set", cases=10, seed=0, img_size=48)
    text = said(capsys, "vindr_mammo", "--root", tmp_path / "set", code=2)
    assert re.search(r"of which 0 have a caption\n  no procedure: \d+ left out\n", text)


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (("--root", "nowhere"), DatasetNotFoundError),
        (("--root", ".", "--tokenizer", "./nowhere"), DataSettingsError),
        (("--root", ".", "--templates", "nowhere.yaml"), DataSettingsError),
        (("--root", ".", "--mask_probability", "2"), DataSettingsError),
    ],
)
def test_what_cannot_be_read_is_an_error(args, error):
    with pytest.raises(error):
        captions.main(["embed", *args])


@pytest.mark.parametrize("option", [("--n", "-1"), ("--max_tokens", "0"), ("--style", "free"), ("--split", "dev")])
def test_an_option_that_makes_no_sense_ends_with_usage(option, capsys):
    with pytest.raises(SystemExit) as stop:
        captions.main(["embed", "--root", ".", *option])
    assert stop.value.code == 2
    assert option[0] in capsys.readouterr().err
