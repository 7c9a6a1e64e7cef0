"""Checks of machine, data and folders that would otherwise fail after an allocation is spent; each is a function."""
