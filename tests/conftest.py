"""What holds for every test."""

from hypothesis import settings

# no folder of examples in the working directory; the same examples in every run
settings.register_profile("charlm", database=None, derandomize=True, deadline=None)
settings.load_profile("charlm")
