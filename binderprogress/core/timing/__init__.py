"""Durations: where the time of a launch went, and estimates of the time left."""
