"""What a network does with its gradient through time, and what is wrong with that."""
