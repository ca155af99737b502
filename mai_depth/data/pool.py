"""Reading pairs in a pool of threads: how far ahead, and how many may be broken."""

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
        bad: Number of broken pairs before.
        fault: What is wrong with this one.
        total: Number of pairs.
        on_bad_sample: `fail`, or `skip`, which accepts up to 1 % (and always one).
        flag: The flag that names the folder.

    Returns:
        Number of broken pairs now.

    Raises:
        UserError: `on_bad_sample` is `fail`, or too many are broken.
    """
    if on_bad_sample == "fail":
        raise fault
    if bad + 1 > max(1, total // 100):
        raise UserError(f"{fault}; more than 1 % of {total} pairs are broken, too many for "
                        f"--on_bad_sample=skip: fix --{flag}")
    return bad + 1


def attempt(function: Callable, *arguments):
    """Calls a function; returns its result, or the `UserError` that it raises."""
    try:
        return function(*arguments)
    except UserError as error:
        return error


def map_ahead(
    pool: ThreadPoolExecutor, function: Callable, items: Iterable, ahead: int = AHEAD
) -> Iterator:
    """Like `pool.map`, but at most `ahead` results ahead of the reader: pictures are large."""
    waiting: collections.deque[Future] = collections.deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
