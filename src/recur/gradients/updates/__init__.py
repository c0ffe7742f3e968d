"""What is done with gradients between the backward pass and the step."""
