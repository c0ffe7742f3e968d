"""The op `rnn`: the simple recurrent network."""
