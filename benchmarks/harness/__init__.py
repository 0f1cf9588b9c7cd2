"""What the benchmark programs share: taking turns, the machine's limits, tables, charts and records.

The programs stand beside this folder and are run as files, so it is imported by its plain name, `harness`.
"""
