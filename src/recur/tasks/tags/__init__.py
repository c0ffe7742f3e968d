"""Tags told of the tokens of sentences."""
