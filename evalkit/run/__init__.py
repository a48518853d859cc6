"""The main job: from problems to scored completions on disk."""
