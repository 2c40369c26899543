"""What carries tasks to machines."""
