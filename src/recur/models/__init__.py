"""Networks made of the layers of `recur.nn`."""
