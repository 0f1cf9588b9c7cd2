"""The command line: the table of commands. Each entry names the function; it is imported when it is called.

The help lines stand here and not beside the functions, so that `charlm --help` imports no command.
"""

COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("charlm.cli.train:train", "Train a model on a text."),
    "sweep": ("charlm.cli.sweep:sweep", "Search for the settings that suit a text."),
    "eval": ("charlm.cli.eval:evaluate", "Measure a model on a text: perplexity, bits, baselines."),
    "generate": ("charlm.cli.generate:generate", "Write text with a model."),
    "score": ("charlm.cli.score:score", "Rank files or lines by bits per character."),
    "compare": ("charlm.cli.compare:compare", "Compare two runs on one text: by how much, how sure, and where."),
    "compress": ("charlm.cli.compress:compress", "Compress a file under a model: the proof of its bits."),
    "decompress": ("charlm.cli.decompress:decompress", "Get a compressed file back, bit for bit."),
    "corpora": ("charlm.cli.corpora:corpora", "List, fetch, show and check texts to train on."),
    "tokenize": ("charlm.cli.tokenize:tokenize", "Show a text as the pieces and ids a model sees."),
    "runs": ("charlm.cli.runs:runs", "List, show, remove and export trainings."),
    "config": ("charlm.cli.config:config", "Show every setting and where its value came from."),
    "completion": ("charlm.cli.completion:completion", "Print shell completion for bash, zsh or fish."),
}
# What other tools call them, and what is tried first.
MEANT = {
    "help": "charlm --help",
    "list": "charlm runs list",
    "perplexity": "charlm eval --perplexity",
    "resume": "charlm train --resume",
    "sample": "charlm generate",
    "test": "charlm eval",
    "version": "charlm --version",
}
