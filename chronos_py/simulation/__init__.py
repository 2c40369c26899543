"""Virtual time: the engine itself, with virtual agents, run times from history and seeded failures."""
