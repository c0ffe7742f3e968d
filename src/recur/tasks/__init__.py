"""One file per kind of problem: loss, metrics, and use of the trained model."""
