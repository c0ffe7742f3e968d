"""Options, readers, tokenisers and batching: user data to `Batch`."""
