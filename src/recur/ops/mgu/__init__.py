"""The op `mgu`: the minimal gated unit."""
