"""Imports one entry file and tries strange numbers on all its number flags; prints the answers.

Runs in its own process: entry files have flags of the same name, and absl keeps one list.
"""

import importlib
import json
import sys

from absl import flags

STRANGE = ("nan", "-nan", "inf", "-inf", "1e308", "-1e308", "9" * 20, "9" * 5000, "-1", "0", "0.5",
           "many", "nan,nan", "0,0,0,0", ",".join(["9" * 20] * 4))


def answer(flag: flags.Flag, text: str) -> dict:
    """A flag's value for a text, or its error."""
    flag.unparse()
    try:
        flag.parse(text)
    except flags.IllegalFlagValueError as error:
        return {"text": text, "error": str(error)}
    return {"text": text, "numbers": flag.value if isinstance(flag.value, list) else [flag.value]}


def main() -> None:
    """Prints name, bounds and answers of each number flag."""
    module = importlib.import_module(sys.argv[1])
    own = flags.FLAGS.flags_by_module_dict()[module.__name__]
    key = {flag.name for flag in flags.FLAGS.get_key_flags_for_module(module.__name__)}
    numbers = [flag for flag in own if hasattr(flag.parser, "lower_bound")]
    print(json.dumps([{
        "name": flag.name,
        "bounds": [flag.parser.lower_bound, flag.parser.upper_bound],
        "is_key": flag.name in key,
        "answers": [answer(flag, text) for text in STRANGE],
    } for flag in numbers]))


if __name__ == "__main__":
    main()
