"""Fuzzing of everything that reads a file which somebody else wrote; how it is run is told in ``docs/fuzzing.md``."""
