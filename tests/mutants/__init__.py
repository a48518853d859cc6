"""Mutation tests: small changes of the source, one at a time, and whether the tests that run the changed line notice.

    make mutants                                 # or: PYTHONPATH=tests python -m mutants --seed 3 --per-area 20

Why no library: mutmut 3 generates every mutant of a package at once (no sample, no seed), within functions only, and
forks after its imports; cosmic-ray writes each mutant into the working tree and runs all tests for each. Both leave
out which tests run a line in worker processes, where graders and judges are.
"""
