"""The cross-entropy of a linear layer's logits, without holding these; `op.linear_cross_entropy` picks the way."""
