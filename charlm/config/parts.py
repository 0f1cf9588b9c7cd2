"""Names that flags and rooms share: the parts of a text, what ends a training, the engines that score and code."""

PARTS = ("train", "validation", "test")
# What a command can be asked to read: a part, or the whole; the most usual first.
SPLITS = ("test", "validation", "train", "all")
# How long a training is, in one of three ways; the first that is reached ends it.
ENDS = ("minutes", "epochs", "steps")
# Of the engines that write a text, those that score one (NumPy would take too long), and those that compress one.
SCORING_ENGINES = ("auto", "numba", "torch")
CODING_ENGINES = ("auto", "numba", "numpy")
