"""Training: truncated backpropagation through time, told as a stream of events."""

from charlm.training.plan import Plan
from charlm.training.resuming import resume_training
from charlm.training.start import plan_training, start_training
from charlm.training.summary import Summary
from charlm.training.training import Training

__all__ = ["Plan", "Summary", "Training", "plan_training", "resume_training", "start_training"]
