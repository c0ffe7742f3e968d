"""Language modelling: the loss, how held-out text is judged, and the trained model in use."""
