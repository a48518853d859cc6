"""Which benchmark problems a training set holds: exact copies, near copies, and copies with other numbers."""
