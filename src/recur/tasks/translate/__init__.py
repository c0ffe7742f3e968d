"""Translators: texts written from texts."""
