"""The one exception that a user meets, and what is said of a child process that died."""

import signal


class UserError(Exception):
    """Something that the user can mend.

    The message is one line that names the file or the flag and the remedy. Entry files print it
    without a traceback and exit with code 1; library callers may catch it.
    """


def died_of(code: int) -> str:
    """Says of what a child process died.

    Args:
        code: Its exit code as `subprocess` has it: minus the number of the signal.

    Returns:
        For instance `native code died of SIGSEGV`.
    """
    return f"native code died of {signal.Signals(-code).name}"
