"""Run folders: one training each, saved so that nothing but a whole, verified checkpoint is ever believed."""

from charlm.runs.data import Data, open_run_data, prepare
from charlm.runs.find import RunAt, checkpoints_folder, find_folder, find_run, new_run_name, run_argument
from charlm.runs.listing import RunSummary, list_runs, summarise
from charlm.runs.loading import Checkpoint, TrainingCheckpoint, Which
from charlm.runs.opening import create_run, open_run, refuse_taken, refuse_unkept, remove_run
from charlm.runs.run import Run

__all__ = [
    "Checkpoint",
    "Data",
    "Run",
    "RunAt",
    "RunSummary",
    "TrainingCheckpoint",
    "Which",
    "checkpoints_folder",
    "create_run",
    "find_folder",
    "find_run",
    "list_runs",
    "new_run_name",
    "open_run",
    "open_run_data",
    "prepare",
    "refuse_taken",
    "refuse_unkept",
    "remove_run",
    "run_argument",
    "summarise",
]
