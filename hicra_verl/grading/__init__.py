"""Grading: is the boxed answer of a response the expected one?"""

from hicra_verl.grading.answers import last_boxed as last_boxed
from hicra_verl.grading.grade import Grade as Grade
from hicra_verl.grading.grade import grade as grade
from hicra_verl.grading.pool import GradingPool as GradingPool
