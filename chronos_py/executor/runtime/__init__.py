"""What runs on the agent. Nothing but the standard library, nothing newer than Python 3.9."""
