"""The nouns of the program: frozen dataclasses that do nothing but be right."""
