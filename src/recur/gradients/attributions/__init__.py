"""Which inputs a prediction rests on, and whether that can be believed."""
