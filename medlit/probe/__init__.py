"""Probes on kept features: features encoded once, a linear classifier solved exactly, and nearest neighbours."""

from medlit.probe.cache import FeatureCache
from medlit.probe.linear import L2_GRID, LinearSolution, solve_path
from medlit.probe.neighbours import Neighbours

__all__ = ["L2_GRID", "FeatureCache", "LinearSolution", "Neighbours", "solve_path"]
