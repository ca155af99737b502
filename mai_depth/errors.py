"""The one exception that a user meets."""


class UserError(Exception):
    """Something that the user can mend.

    The message is one line that names the file or the flag and the remedy. Entry files print it
    without a traceback and exit with code 1; library callers may catch it.
    """
