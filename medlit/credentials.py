"""What must not be kept beside a run: tokens, passwords and keys in its command and its configuration."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

HIDDEN = "***"

SECRET_NAMES = r"token|password|passwd|secret|credentials|(?:api|access|account|secret|private)[_-]?key"
"""How a name ends that holds a secret, after a mark or alone: ``api_key``, ``HF_TOKEN``; not ``tokenizer``."""
NAME = re.compile(rf"(?:.*[_-])?(?:{SECRET_NAMES})", re.IGNORECASE)
OF_TEXT = frozenset(f"{kind}_token" for kind in ("bos", "eos", "pad", "unk", "cls", "sep", "mask", "class", "image"))
"""Names that end alike and hold tokens of text and images."""

KNOWN = re.compile(r"\b(?:hf_[A-Za-z0-9]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|AKIA[A-Z0-9]{16})")
"""Tokens of Hugging Face, GitHub and AWS, wherever they stand: they are known by their beginning."""
IN_ADDRESS = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
"""User and password before the host."""
FLAT = r"[{\[][^{}\[\]]*[}\]]"
GROUP = rf"[{{\[](?:[^{{}}\[\]]|{FLAT})*[}}\]]|[{{\[].*"
"""A mapping or list of YAML and JSON; of a deeper one, and one without an end, all that follows."""
IN_TEXT = re.compile(
    rf"""(?<![A-Za-z0-9])(?P<name>(?:[\w.-]*[_.-])?(?:{SECRET_NAMES}))(?P<mark>['"]?\s*[:=]\s*)"""
    rf"""(?P<value>"[^"]*"|'[^']*'|{GROUP}|[^\s,;&'"{{}}\[\]]+)""",
    re.IGNORECASE | re.DOTALL,
)
"""A name and its value in an option, an address's query, or YAML and JSON on the command line."""


def holds_secret(name: str) -> bool:
    """Whether a setting of this name holds a secret, or lies within one that does.

    Args:
        name: With dots or without.
    """
    return any(NAME.fullmatch(part) and part.lower() not in OF_TEXT for part in name.split("."))


def hidden_text(text: str) -> str:
    """A text without the secrets that can be told from it.

    Args:
        text: A word of a command line, a value of a configuration.
    """

    def hide(found: re.Match[str]) -> str:
        """The name and its mark, without the value."""
        return f"{found['name']}{found['mark']}{HIDDEN}" if holds_secret(found["name"]) else found[0]

    return IN_TEXT.sub(hide, KNOWN.sub(HIDDEN, IN_ADDRESS.sub(HIDDEN, text)))


def hidden_words(words: Sequence[str]) -> list[str]:
    """A command line without secrets; of ``--api_key VALUE`` the second word is one.

    Args:
        words: Program and options.
    """
    before = ["", *words[:-1]] if words else []
    return [_hidden_word(word, after=option) for option, word in zip(before, words, strict=True)]


def _hidden_word(word: str, *, after: str) -> str:
    if not word.startswith("--"):
        return HIDDEN if after.startswith("-") and holds_secret(after.lstrip("-")) else hidden_text(word)
    option, mark, value = word.partition("=")
    return f"{option}={HIDDEN}" if mark and value and holds_secret(option.lstrip("-")) else hidden_text(word)


def hidden_settings(value: Any) -> Any:
    """Settings without secrets, in plain types.

    All that a secret's name holds is hidden, be it a number or a mapping; not what says that there is none, and no
    switch. Elsewhere secrets are hidden within texts.

    Args:
        value: A mapping, a list, or one value.
    """
    if isinstance(value, Mapping):
        return {
            name: HIDDEN if _is_held(below) and holds_secret(str(name)) else hidden_settings(below)
            for name, below in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [hidden_settings(below) for below in value]
    return hidden_text(value) if isinstance(value, str) else value


def _is_held(value: Any) -> bool:
    """Whether a value can be a secret."""
    return not (value is None or isinstance(value, bool) or value in ("", [], (), {}))


def has_secrets(settings: Any) -> bool:
    """Whether `hidden_settings` would hide anything.

    Args:
        settings: A mapping, a list, or one value, in plain types.
    """
    return bool(hidden_settings(settings) != settings)
