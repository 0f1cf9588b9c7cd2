"""How good a model is: losses of every symbol of a text, their denominators, and what to compare them with."""
