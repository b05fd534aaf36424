"""The one kind of error that is shown to a user as a single line."""


class InputError(Exception):
    """Something the user gave cannot be used.

    The message is one line: what is wrong, the value, what was expected, and the remedy.
    It never holds an eid.
    """
