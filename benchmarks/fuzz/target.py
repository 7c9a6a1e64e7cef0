"""What is fuzzed: a reader, valid files of its kind, and how they are changed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random


@dataclass(frozen=True)
class Target:
    """One kind of file.

    Args:
        readers: Source files that read it, below the repository: their branch coverage is reported.
        seeds: Valid files, in many varieties.
        opens: Whether a file passes its header: magic, structure, and what is needed to come to its content.
        read: Reads a file as the product does; returns, or raises what the user is told.
        mutate: A file changed a little, mostly behind its header.
    """

    readers: Sequence[str]
    seeds: Sequence[bytes]
    opens: Callable[[bytes], bool]
    read: Callable[[bytes], object]
    mutate: Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Part:
    """One of several files that a kind consists of; the others stay as they are.

    Args:
        path: Where the product looks for it; rewritten for every input.
        content: A valid one.
        read: Reads all of them.
        opens: Whether this one passes its header.
    """

    path: Path
    content: bytes
    read: Callable[[], object]
    opens: Callable[[bytes], bool]


def read_part(parts: Sequence[Part], data: bytes) -> object:
    """Read an input whose first byte says which part it takes the place of; the valid one is put back.

    Args:
        parts: Of the kind.
        data: A byte, and the file.
    """
    part, content = split_part(parts, data)
    part.path.write_bytes(content)
    try:
        return part.read()
    finally:
        part.path.write_bytes(part.content)


def part_opens(parts: Sequence[Part], data: bytes) -> bool:
    """Whether the file in an input passes its header."""
    part, content = split_part(parts, data)
    return part.opens(content)


def split_part(parts: Sequence[Part], data: bytes) -> tuple[Part, bytes]:
    """The part and the file of an input."""
    return parts[(data[0] if data else 0) % len(parts)], data[1:]


def seeds_of(parts: Sequence[Part]) -> list[bytes]:
    """The valid files as inputs."""
    return [bytes([number]) + part.content for number, part in enumerate(parts)]


def mutate_part(mutate: Callable[[bytes, Random], bytes]) -> Callable[[bytes, Random], bytes]:
    """A mutation of files as one of inputs: the byte in front stays."""
    return lambda data, random: data[:1] + mutate(data[1:], random)
