"""Search for settings: many short trainings, of which the best go on (random search with successive halving).

Jamieson and Talwalkar (2016, arXiv:1502.07943); rungs as in Li et al. (2018, arXiv:1603.06560). docs/sweep.md says
how, and why the rungs of a trial are one training with one schedule.
"""

from charlm.sweeps.folder import Outcome
from charlm.sweeps.start import resume_sweep, start_sweep
from charlm.sweeps.sweep import Sweep

__all__ = ["Outcome", "Sweep", "resume_sweep", "start_sweep"]
