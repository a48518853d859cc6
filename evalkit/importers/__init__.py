"""Other harnesses' logs, read into one neutral record a sample. Each reader is one file and an entry point."""
