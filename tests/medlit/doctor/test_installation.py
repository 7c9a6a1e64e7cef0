"""Python and packages: what does not fit is named with what to do."""

import pytest

from medlit.doctor.installation import check_imports, check_packages, check_python


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Installs a package that is its metadata alone."""

    def install(*requirements, python=">=3.11"):
        lines = ["Metadata-Version: 2.1", "Name: sick", "Version: 1.0", f"Requires-Python: {python}"]
        folder = tmp_path / "sick-1.0.dist-info"
        folder.mkdir()
        text = "\n".join([*lines, *(f"Requires-Dist: {requirement}" for requirement in requirements), ""])
        (folder / "METADATA").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return "sick"

    return install


def test_what_is_installed_is_within_the_bounds():
    assert check_python().state == "ok"
    found = check_packages()
    assert found.state == "ok"
    assert "lightning 2." in found.said


def test_packages_outside_their_bounds_are_named_and_extras_left_aside(package):
    found = check_packages(package("numpy<1", "nobody-has-this", "torch>=2", "nor-this>=1; extra == 'dev'"))
    assert found.state == "wrong"
    assert found.said.startswith("numpy is 2.")
    assert "needed is <1; nobody-has-this is missing: pip install" in found.said
    assert "nor-this" not in found.said


def test_another_python_is_asked_for(package):
    found = check_python(package(python=">=4"))
    assert found.state == "wrong"
    assert "sick needs >=4: make an environment with another Python" in found.said


def test_builds_that_do_not_fit_are_found_at_import(tmp_path, monkeypatch):
    (tmp_path / "broken_build.py").write_text("raise RuntimeError('operator torchvision::nms\\ndoes not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    assert check_imports(["torch", "timm"]).state == "ok"
    found = check_imports(["torch", "broken_build"])
    expected = "broken_build fails (RuntimeError: operator torchvision::nms does not exist): install it anew"
    assert (found.state, found.said) == ("wrong", expected)
