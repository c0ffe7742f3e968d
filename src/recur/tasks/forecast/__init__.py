"""Forecasts of series: windows, back-tests beside the naive rules, calibrated intervals, the trained forecaster."""
