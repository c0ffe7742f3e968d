"""How fast layers are: timing two sides in turns, and recur's layers beside torch's own."""
