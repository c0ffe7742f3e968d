"""Turning a model's scores into output: sampling."""
