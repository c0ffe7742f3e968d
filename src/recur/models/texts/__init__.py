"""Networks that read texts."""
