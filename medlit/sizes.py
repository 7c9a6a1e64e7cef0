"""Sizes as a person reads them."""


def in_words(size: int) -> str:
    """Bytes in the unit that suits them: ``346.4 MB``."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor:
            return f"{size / factor:,.1f} {unit}"
    return f"{size} B"
