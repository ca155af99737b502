"""Networks from elsewhere: fetched once, kept, and compared with their checksum each time."""

import hashlib
import http.client
import os
import pathlib
import re
import urllib.error
import urllib.parse
import urllib.request

from mai_depth.atomic import atomic_path
from mai_depth.checksum import check_sha256
from mai_depth.errors import UserError
from mai_depth.errors import reason_of

DEFAULT_CACHE_DIR = "~/.cache/mai_depth"
_FOLDER = "networks"
_TIMEOUT_S = 30
_LARGEST_BYTES = 4 << 30
_BLOCK_BYTES = 1 << 20


def is_url(value: str) -> bool:
    """Whether a value that may be a name or a path is a URL."""
    return "://" in value


def fetch(url: str, sha256: str | None, cache_dir: str | os.PathLike) -> pathlib.Path:
    """Downloads a file, or finds it in the cache.

    A file that does not match its checksum never gets a name in the cache: a broken download starts
    again, and a wrong file is not opened.

    Args:
        url: http or https.
        sha256: Of the file, 64 hexadecimal digits, as its publisher states it.
        cache_dir: It is kept in the folder `networks` below.

    Returns:
        The file, called after its checksum and the URL's last part.

    Raises:
        UserError: No checksum, another kind of URL, no answer, not the stated file, or a
            cache that cannot be written.
    """
    address = urllib.parse.urlsplit(url)
    if address.scheme not in ("http", "https"):
        raise UserError(f"{url}: give an http or https URL, or a path")
    if not sha256 or not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise UserError(f"{url}: give its sha256 as well (64 hexadecimal digits), to make "
                        "sure that it is the right file")
    sha256 = sha256.lower()
    folder = pathlib.Path(cache_dir).expanduser() / _FOLDER
    name = re.sub(r"[^\w.-]", "_", pathlib.PurePosixPath(address.path).name)
    path = folder / f"{sha256[:16]}_{name}"
    if not path.is_file():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                _download(url, sha256, temporary)
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError,
                ConnectionError) as error:
            raise UserError(f"{url}: cannot be downloaded ({reason_of(error)}); try again, or give "
                            "the path of a copy") from error
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror}); give another "
                            "cache_dir") from error
    check_sha256(path, sha256, "remove it, and it is downloaded again")
    return path


def _download(url: str, sha256: str, path: pathlib.Path) -> None:
    from tqdm import tqdm  # which a board that only predicts may lack

    digest = hashlib.sha256()
    request = urllib.request.Request(url, headers={"User-Agent": "mai_depth"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer, open(path, "wb") as file:
        expected = int(answer.headers.get("Content-Length") or 0)
        with tqdm(total=expected or None, unit="B", unit_scale=True, leave=False) as progress:
            while block := answer.read(_BLOCK_BYTES):
                file.write(block)
                digest.update(block)
                progress.update(len(block))
                if file.tell() > _LARGEST_BYTES:
                    raise UserError(f"{url}: larger than {_LARGEST_BYTES >> 30} GB, which no depth "
                                    "network is; give another URL")
        if file.tell() < expected:
            raise http.client.IncompleteRead(b"", expected - file.tell())
    if digest.hexdigest() != sha256:
        raise UserError(f"{url}: not the stated file (its sha256 starts with "
                        f"{digest.hexdigest()[:8]}, not {sha256[:8]}); compare the two")
