"""The op `ligru`: the light gated recurrent unit."""
