"""Graders behind an endpoint: requests, pace, retries, cache and cost."""
