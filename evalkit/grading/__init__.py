"""Answer checking that can be called from anywhere: `grade_math`, `math_equal`, `grade_choice`."""

from evalkit.grading.choice import grade_choice
from evalkit.grading.math import grade_math, math_equal
from evalkit.thinking import Thinking, split_thinking

__all__ = ["Thinking", "grade_choice", "grade_math", "math_equal", "split_thinking"]
