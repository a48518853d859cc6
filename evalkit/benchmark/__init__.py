"""What a benchmark is: its task, its data, how a model is asked."""
