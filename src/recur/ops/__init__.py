"""Recurrent functions on tensors: one folder per op, each with a reference in plain torch and its back ends."""
