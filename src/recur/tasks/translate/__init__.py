"""Texts from texts."""
