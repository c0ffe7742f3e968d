"""The op `indrnn`: the independently recurrent network."""
