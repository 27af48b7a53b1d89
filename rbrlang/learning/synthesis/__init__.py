"""Synthetic completions whose order the rules know."""
