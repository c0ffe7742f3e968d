"""The op `gru`: the gated recurrent unit."""
