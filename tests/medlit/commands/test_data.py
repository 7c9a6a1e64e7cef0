"""``medlit data``: what it prints, and its exit codes."""

import pytest

from data_modules.errors import DataSettingsError
from medlit.commands import data


@pytest.fixture
def root(tmp_path):
    assert data.main(["synth", "derm7pt", "--root", str(tmp_path / "set"), "--cases", "50", "--img_size", "48"]) == 0
    return tmp_path / "set"


def test_a_look_alike_is_written_and_found_sound(root, capsys):
    assert data.main(["check", "derm7pt", "--root", str(root)]) == 0
    said = capsys.readouterr().out
    assert "path in another case" in said
    assert "Sound: nothing to mend" in said


MAMMOGRAPHY = ("embed", "rsna_mammo", "vindr_mammo", "cbis_ddsm")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in MAMMOGRAPHY else name for name in data.SETS]
)
def test_of_every_set_a_look_alike_is_written_and_found_sound(name, tmp_path, capsys):
    root = tmp_path / "set"
    size = ("--img_size", "128") if name in MAMMOGRAPHY else ()
    assert data.main(["synth", name, "--root", str(root), "--cases", "20", *size]) == 0
    assert f"medlit data check {name} --root {root}" in capsys.readouterr().out
    assert data.main(["check", name, "--root", str(root)]) == 0
    said = capsys.readouterr().out
    assert data.SETS[name].title in said
    assert "Sound: nothing to mend" in said


@pytest.mark.parametrize(
    ("name", "option", "owner"),
    [
        ("mrnet", ("--target", "streaks"), "derm7pt"),
        ("derm7pt", ("--split", "A"), "mmc_amd"),
        ("mmc_amd", ("--allow_missing",), "mrnet"),
        ("mrnet", ("--read", "3"), "embed, rsna_mammo, vindr_mammo, cbis_ddsm"),
    ],
)
def test_an_option_of_another_set_is_refused(name, option, owner, capsys):
    with pytest.raises(SystemExit) as stop:
        data.main(["check", name, "--root", ".", *option])
    assert stop.value.code == 2
    assert f"{option[0]} is an option of {owner} alone" in capsys.readouterr().err


def test_the_split_of_mmc_amd_reaches_its_audit(tmp_path, capsys):
    root = tmp_path / "set"
    data.main(["synth", "mmc_amd", "--root", str(root), "--cases", "20", "--img_size", "32"])
    capsys.readouterr()
    said = {}
    for split in ("AP", "A"):
        data.main(["check", "mmc_amd", "--root", str(root), "--split", split])
        said[split] = capsys.readouterr().out
    assert said["A"] != said["AP"]


def test_an_exam_of_mrnet_may_lack_a_plane_where_that_is_allowed(tmp_path, capsys):
    root = tmp_path / "set"
    data.main(["synth", "mrnet", "--root", str(root), "--cases", "20", "--img_size", "16"])
    (root / "train/axial/0003.npy").unlink()
    check = ["check", "mrnet", "--root", str(root)]
    assert data.main(check) == 2
    assert "or set allow_missing: true" in capsys.readouterr().out
    for option in ("--allow_missing", "--allow-missing"):
        assert data.main([*check, option]) == 0
        assert "missing plane" in capsys.readouterr().out


def test_unsound_data_exit_with_2_and_every_fault_named(root, capsys):
    (root / "meta/test_indexes.csv").unlink()
    images = sorted((root / "images/GAL").iterdir())
    for path in images:
        path.unlink()
    assert data.main(["check", "derm7pt", "--root", str(root), "--most", "3"]) == 2
    said = capsys.readouterr().out
    assert f"missing image: {len(images)}" in said
    assert f"and {len(images) - 3} more" in said
    assert f"{len(images) + 1} faults: training would not be sound" in said


def test_somebody_elses_folder_is_left_alone(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataSettingsError, match="not empty"):
        data.main(["synth", "derm7pt", "--root", str(tmp_path)])


def test_the_target_decides_what_is_a_fault(root):
    table = root / "meta/meta.csv"
    table.write_text(table.read_text().replace("melanosis", "melanosys").replace("lentigo", "melanosys"))
    assert data.main(["check", "derm7pt", "--root", str(root)]) == 2
    assert data.main(["check", "derm7pt", "--root", str(root), "--target", "streaks"]) == 0


@pytest.mark.parametrize("most", ["-1", "x"])
def test_a_number_of_findings_below_zero_is_refused(most, capsys):
    with pytest.raises(SystemExit) as stop:
        data.main(["check", "derm7pt", "--root", ".", "--most", most])
    assert stop.value.code == 2
    assert f"{most!r} is no count; give 0 or more" in capsys.readouterr().err


def test_an_unknown_set_is_refused():
    with pytest.raises(SystemExit) as stop:
        data.main(["check", "derm8pt", "--root", "."])
    assert stop.value.code == 2
