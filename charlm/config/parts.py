"""The parts of a text, by the names they have everywhere."""

PARTS = ("train", "validation", "test")
# What a command can be asked to read: a part, or the whole; the most usual first.
SPLITS = ("test", "validation", "train", "all")
