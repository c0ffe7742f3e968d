"""Texts written from labels or numbers."""
