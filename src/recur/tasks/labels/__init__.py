"""Labels of series, classes or numbers: what was told of them, and how good that is."""
