"""From a set as it is distributed to 16-bit PNGs of one size, once: worker processes, journal, manifest."""
