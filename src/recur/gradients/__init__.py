"""Truncated back-propagation through time, and the gradient seen."""
