"""What other programs import: performances, official rating changes and the rating of a table of solved problems.

from evalkit_tasks.codeforces.rating import performance, rating_changes, rate
"""

from .elo import (
    InvalidStandingsError,
    break_even_ratings,
    calculation_rating,
    codeelo_rating,
    performance,
    performances,
    rating_changes,
    virtual_change,
)
from .estimate import Estimate, Rating, rate
from .places import ContestResult, codeelo_performance
from .solve_model import SolveFit, fit_solve_model

__all__ = [
    "ContestResult",
    "Estimate",
    "InvalidStandingsError",
    "Rating",
    "SolveFit",
    "break_even_ratings",
    "calculation_rating",
    "codeelo_performance",
    "codeelo_rating",
    "fit_solve_model",
    "performance",
    "performances",
    "rate",
    "rating_changes",
    "virtual_change",
]
