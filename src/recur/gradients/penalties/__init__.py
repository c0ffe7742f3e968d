"""Terms of the loss that keep activations and Jacobians in bounds."""
