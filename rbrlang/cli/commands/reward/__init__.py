"""Commands about the reward: fit, keep, apply, judge and serve it."""
