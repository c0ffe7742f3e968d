"""Long sequences in little memory: steps that are run again on the way back."""
