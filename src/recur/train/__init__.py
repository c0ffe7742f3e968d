"""Training: options, trainer assembly, callbacks, resume."""
