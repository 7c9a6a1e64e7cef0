"""Measurements of the product against plainer forms of the same computation; no part of the installed packages."""
