"""What is proven of runs: times, losses, what was tested, reports."""
