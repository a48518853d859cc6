"""The errors a user sees: one sentence that says what is wrong, and a hint that says what to do."""


class EvalkitError(Exception):
    """What a user did wrong. The command line prints it without a traceback and exits with `exit_code`.

    Examples:
        >>> print(EvalkitError("There is no task 'amie24'.", "did you mean aime24?"))
        There is no task 'amie24'.
        hint: did you mean aime24?
    """

    exit_code = 2

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}"


class RunIncompleteError(EvalkitError):
    """A run that could not finish. What was done is on disk; the hint says how to resume.

    Examples:
        >>> RunIncompleteError("The disk is full.", "free some space and run the same command again.").exit_code
        1
    """

    exit_code = 1
