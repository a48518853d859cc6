"""Answer checking that can be called from anywhere: `grade_math`, `math_equal`, `grade_choice`, and as a reward."""

from evalkit.grading.choice import grade_choice
from evalkit.grading.math import grade_math, math_equal
from evalkit.grading.reward import compute_score, compute_scores, grade_many, math_reward
from evalkit.thinking import Thinking, split_thinking

__all__ = [
    "Thinking",
    "compute_score",
    "compute_scores",
    "grade_choice",
    "grade_many",
    "grade_math",
    "math_equal",
    "math_reward",
    "split_thinking",
]
