"""What is done to gradients before a step: clipping."""
