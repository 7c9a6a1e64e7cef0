"""Recipes: several trainings that depend on each other, over seeds and folds, and one table of what came of them."""
