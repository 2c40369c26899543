"""Plans are made in a process of their own, so that the service keeps its processor and its memory."""
