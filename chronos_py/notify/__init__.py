"""Tells jobs' owners what happened: channels, and the queues before them."""
