"""What is read from runs on disk: figures, tables, pictures. Needs no engine."""
