"""Telling classes of texts."""
