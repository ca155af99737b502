"""The one exception that a user meets."""


class UserError(Exception):
    """Something that the user can mend.

    The message is one line that names the file or the flag and the remedy. Entry files print it
    without a traceback and exit with code 1; library callers may catch it.
    """


class UserNotice(UserWarning):
    """Something that the user should know, though the work goes on.

    The message is one line. Entry files print it as it is; elsewhere Python shows it with the line
    that called this package.
    """
