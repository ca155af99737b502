"""The one exception that a user sees, and how its message quotes other errors."""

import signal


class UserError(Exception):
    """Something that the user can fix.

    The message is one line that names the file or the flag and the remedy. Entry files print it
    without a traceback and exit with code 1; library callers may catch it.
    """


class UserNotice(UserWarning):
    """Something that the user should know although the work continues.

    The message is one line. Entry files print it as it is; elsewhere Python shows it with the line
    that called this package.
    """


def died_of(code: int) -> str:
    """Names the signal that killed a child process.

    Args:
        code: Its exit code from `subprocess`: minus the number of the signal.

    Returns:
        For instance `native code died of SIGSEGV`.
    """
    return f"native code died of {signal.Signals(-code).name}"


def reason_of(error: BaseException) -> str:
    """Returns the text of another exception in one line.

    Args:
        error: Of a library; its text may have many lines or none.

    Returns:
        Its text, or the name of its type if it has none.
    """
    return " ".join(str(error).split()) or type(error).__name__
