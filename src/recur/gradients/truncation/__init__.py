"""Truncated back-propagation through time."""
