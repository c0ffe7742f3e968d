"""Anomalies in series: what is not as it was to be expected."""
