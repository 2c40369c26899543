"""Where things outlive the process."""
