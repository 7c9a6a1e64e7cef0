"""Published figures to compare with, from ``docs/published.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import yaml

from medlit.errors import ConfigurationError
from medlit.report import COLUMNS


@dataclass(frozen=True, kw_only=True)
class Published:
    """What was published of one set and backbone.

    Args:
        source: Where the figures are from.
        rows: By title of the row, figures by metric; None where none is known.
    """

    source: str
    rows: Mapping[str, Mapping[str, float | None]]

    def figure(self, title: str, metric: str) -> float | None:
        """A figure; None where unknown."""
        return self.rows.get(title, {}).get(metric)

    def has(self, metric: str) -> bool:
        """Whether any row has a figure of a metric."""
        return any(figures.get(metric) is not None for figures in self.rows.values())


def published_file() -> Path:
    """``docs/published.yaml`` of the clone."""
    import medlit

    return Path(medlit.__file__).parents[1] / "docs" / "published.yaml"


def read_published(name: str, *, file: Path | None = None) -> Published:
    """An entry of the file of published figures.

    Args:
        name: The entry.
        file: Where it is; None: in the clone.

    Raises:
        ConfigurationError: If there is no such file or entry, or it is not as it has to be.
    """
    file = published_file() if file is None else file
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"published figures {file} cannot be read; remove 'published' from the recipe, or run it from a clone"
        ) from error
    if name not in content:
        near = get_close_matches(name, content, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"entries: {', '.join(content)}"
        raise ConfigurationError(f"{file}: no entry '{name}' for 'published'; {hint}")
    entry = content[name]
    for title, figures in entry["rows"].items():
        if unknown := set(figures) - set(COLUMNS):
            raise ConfigurationError(f"{file}: {name}, {title}: unknown metrics {sorted(unknown)}; known: {[*COLUMNS]}")
    return Published(source=str(entry["source"]), rows=entry["rows"])
