"""What the commands do with the runs of each task: judge them, predict with them, show them."""
