"""Graders made of graders: juries and cascades."""
