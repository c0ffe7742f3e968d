"""A room for each kind of problem: its loss, how it is judged, and the trained model in use."""
