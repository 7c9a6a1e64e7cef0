"""Templates of captions: read from a YAML file, and refused where anything in it is not as it should be."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from data_modules.errors import DataSettingsError, nearest

STYLES = ("structured", "natural", "simple")
METADATA = ("procedure", "reason", "race", "ethnicity", "age", "image_type", "side", "view")
"""Placeholders that describe the exam, the patient and the image; they give away nothing of what was found."""
_DENSITY = ("density", "composition", "sensitivity")
_BIRADS = ("birads", "meaning", "advice")
SECTIONS: dict[str, tuple[str, ...]] = {
    "procedure": METADATA,
    "reason": METADATA,
    "patient": METADATA,
    "image": METADATA,
    "composition": _DENSITY,
    "sensitivity": _DENSITY,
    "mass": ("mass_shape", "mass_density"),
    "calcification": ("calc_finding", "calc_distribution"),
    "no_finding": (),
    "impression": _BIRADS,
    "assessment": _BIRADS,
}
"""Sections of a caption in their order, each with the placeholders that it may hold."""
NEEDED = {"composition": ("density", "composition"), "impression": ("birads", "meaning")}
"""Sections that no style can do without, each with the placeholders of which it needs one: classes must read unlike."""
MOST_BYTES = 1 << 16
"""Of a template file; the one that comes along has 3 kB."""
OWN_FILE = Path(__file__).with_name("templates.yaml")


@dataclass(frozen=True, slots=True)
class Style:
    """Sentences of one style, checked; None is a section that the style leaves out."""

    sections: Mapping[str, str | None]

    def fill(self, section: str, words: Mapping[str, str]) -> list[str]:
        """The section's sentence as a list of one, empty where the style leaves it out.

        Args:
            section: A key of ``SECTIONS``.
            words: By placeholder, at least those that the section may hold. Braces in them are text.
        """
        text = self.sections[section]
        return [] if text is None else [text.format_map(words)]


def load_style(style: str, *, file: str | Path | None = None) -> Style:
    """Read and check a template file, and take one style of it.

    Args:
        style: One of ``STYLES``.
        file: A template file; None: the one that comes along.

    Raises:
        DataSettingsError: If the file cannot be read, lacks the style, or anything in it is not as it should be.
    """
    path = OWN_FILE if file is None else Path(file).expanduser()
    if style not in STYLES:
        raise DataSettingsError(f"style: no style {style!r} of captions; {nearest(style, STYLES)}")
    styles = _read(path)
    for name in styles:
        if name not in STYLES:
            raise DataSettingsError(f"{path}: no style is called {name!r}; {nearest(str(name), STYLES)}")
    checked = {name: _style(sections, f"{path}, style {name}") for name, sections in styles.items()}
    if style not in checked:
        raise DataSettingsError(f"{path}: has no style {style!r}, only {', '.join(checked) or 'none'}; add it")
    return checked[style]


def _read(path: Path) -> dict[Any, Any]:
    try:
        with path.open("rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataSettingsError(f"templates: {path} cannot be read ({error.strerror}); give a YAML file") from error
    if len(content) > MOST_BYTES:
        raise DataSettingsError(f"{path}: more than {MOST_BYTES} bytes, no file of templates")
    try:
        styles = yaml.safe_load(content.decode())
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DataSettingsError(f"{path}{line}: no YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        # Beside YAML's own: bytes that are no UTF-8, tags on what they do not fit, dates that are none.
        raise DataSettingsError(f"{path}: no YAML in UTF-8 ({type(error).__name__}); save it anew") from error
    if not isinstance(styles, dict):
        raise DataSettingsError(f"{path}: should map styles to their sections, found a {type(styles).__name__}")
    return styles


def _style(sections: object, where: str) -> Style:
    if not isinstance(sections, dict):
        raise DataSettingsError(f"{where}: should map sections to sentences, found a {type(sections).__name__}")
    for name in sections:
        if name not in SECTIONS:
            raise DataSettingsError(f"{where}: no section is called {name!r}; {nearest(str(name), SECTIONS)}")
    for name in SECTIONS:
        if name not in sections:
            raise DataSettingsError(f"{where}: section {name} is missing; write its sentence, or null to leave it out")
    return Style({name: _sentence(name, sections[name], f"{where}, section {name}") for name in SECTIONS})


def _sentence(section: str, text: object, where: str) -> str | None:
    """The sentence on one line, its placeholders checked."""
    needed = NEEDED.get(section)
    if text is None:
        if needed:
            raise DataSettingsError(f"{where}: cannot be left out; a caption without it says nothing of its class")
        return None
    if not isinstance(text, str) or not text.strip():
        raise DataSettingsError(f"{where}: should be a sentence or null, found {text!r}")
    fields = _placeholders(text, where)
    allowed = SECTIONS[section]
    for field in fields:
        if field not in allowed:
            known = nearest(field, allowed) if allowed else "this section takes none"
            raise DataSettingsError(f"{where}: unknown placeholder {{{field}}} in {text!r}; {known}")
    if needed and not set(needed) & set(fields):
        names = " or ".join(f"{{{name}}}" for name in needed)
        raise DataSettingsError(f"{where}: {text!r} needs {names}; without, all classes read alike")
    return " ".join(text.split())


def _placeholders(text: str, where: str) -> list[str]:
    """Names between braces; nothing but a name may stand there."""
    try:
        parts = [(field, spec, conversion) for _, field, spec, conversion in Formatter().parse(text)]
    except ValueError as error:
        raise DataSettingsError(f"{where}: {text!r}: {error}; write a literal brace twice") from error
    fields = []
    for field, spec, conversion in parts:
        if field is None:
            continue
        if not field.isidentifier() or spec or conversion:
            raise DataSettingsError(f"{where}: {text!r}: between braces stands a placeholder's name and nothing else")
        fields.append(field)
    return fields
