"""Weights from comparisons: the problem, its optimum, and what can be said of it."""
