"""What is inside a trained network, on one text or one series: computed here, drawn by the report."""
