"""Template files are checked as they are read."""

import pytest
import yaml

from data_modules.errors import DataSettingsError
from data_modules.mammography.captions import Captioner
from data_modules.mammography.captions.template import OWN_FILE, SECTIONS, STYLES, load_style
from tests.data_modules.mammography.captions.rows import FULL


@pytest.fixture
def own():
    return yaml.safe_load(OWN_FILE.read_text())["structured"]


def write(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("style", STYLES)
def test_the_file_that_comes_along_has_every_style(style):
    assert list(load_style(style).sections) == list(SECTIONS)


def test_a_file_of_ones_own_is_used(tmp_path, own):
    path = write(tmp_path, {"simple": {**own, "procedure": None, "impression": "{{B}} {birads}\n  {meaning}"}})
    sentences = Captioner(templates=path, style="simple").sentences(FULL)
    assert "{B} 4 suspicious" in sentences
    assert not any("Procedure" in sentence for sentence in sentences)


@pytest.mark.parametrize(
    ("section", "text", "named"),
    [
        ("patient", "Age {agee}.", r"\{agee\}.*did you mean 'age'"),
        ("patient", "Category {birads}.", r"\{birads\}.*allowed are 'procedure'"),
        ("no_finding", "No {mass_shape}.", "takes none"),
        ("impression", "Impression.", r"needs \{birads\} or \{meaning\}"),
        ("composition", None, "cannot be left out"),
        ("reason", "", "should be a sentence or null"),
        ("reason", ["a", "b"], "should be a sentence or null"),
        ("reason", "{reason.__class__}", "a placeholder's name and nothing else"),
        ("reason", "{reason:>9}", "a placeholder's name and nothing else"),
        ("reason", "{reason!r}", "a placeholder's name and nothing else"),
        ("reason", "{}", "a placeholder's name and nothing else"),
        ("reason", "{reason", "write a literal brace twice"),
    ],
)
def test_a_faulty_sentence_is_named_with_file_style_and_section(tmp_path, own, section, text, named):
    path = write(tmp_path, {"structured": {**own, section: text}})
    with pytest.raises(DataSettingsError, match=f"mine.yaml, style structured, section {section}: .*{named}") as error:
        load_style("structured", file=path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"structured": {"reason": "a"}}, "style structured: section procedure is missing"),
        ({"structured": {"reasons": "a"}}, "no section is called 'reasons'; did you mean 'reason'"),
        ({"structured": ["a"]}, "should map sections to sentences"),
        ({"natural": None}, "style natural: should map sections"),
        ({"simpel": {}}, "no style is called 'simpel'; did you mean 'simple'"),
        ({}, "has no style 'structured', only none"),
        (["a"], "should map styles"),
        ("a: 1\nb: [", "mine.yaml line 2: no YAML"),
        ("[" * 4_000, "no YAML"),
        ("a: !!python/object:os.system {}", "no YAML"),
        ("#" * 70_000, "more than 65536 bytes"),
    ],
)
def test_a_file_that_is_no_template_file_is_refused(tmp_path, content, named):
    path = write(tmp_path, content)
    with pytest.raises(DataSettingsError, match=named) as error:
        load_style("structured", file=path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(DataSettingsError, match="no YAML"):
        load_style("structured", file=tmp_path / "mine.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataSettingsError, match=r"none\.yaml cannot be read"):
        load_style("structured", file=tmp_path / "none.yaml")


def test_a_style_that_the_file_lacks_is_named(tmp_path, own):
    with pytest.raises(DataSettingsError, match="has no style 'natural', only structured"):
        load_style("natural", file=write(tmp_path, {"structured": own}))
