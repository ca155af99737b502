"""Many pairs read by a pool of threads: how far ahead, and how many of them may be broken."""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor

from mai_depth.errors import UserError

AHEAD = 32  # pairs decoded ahead: 50 MB


def count_bad(
    bad: int, fault: UserError, total: int, on_bad_sample: str, flag: str = "data_dir"
) -> int:
    """Counts one more broken pair.

    Args:
        bad: How many there were before.
        fault: What is wrong with this one.
        total: How many pairs there are.
        on_bad_sample: `fail` or `skip`, which takes up to 1 % (and always one).
        flag: By which the user has given the folder.

    Returns:
        How many there are now.

    Raises:
        UserError: One is too many, or there are too many.
    """
    if on_bad_sample == "fail":
        raise fault
    if bad + 1 > max(1, total // 100):
        raise UserError(f"{fault}; more than 1 % of {total} pairs are broken, which "
                        f"--on_bad_sample=skip does not hide: mend --{flag}")
    return bad + 1


def attempt(function: Callable, *arguments):
    """Calls a function; gives its result, or the `UserError` that it raises."""
    try:
        return function(*arguments)
    except UserError as error:
        return error


def map_ahead(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, ahead: int = AHEAD
) -> Iterator:
    """Like `pool.map`, but only so many results ahead of the reader: pictures are large."""
    waiting: collections.deque[Future] = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
