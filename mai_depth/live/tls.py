"""The certificate for https, without which browsers give no camera to another machine's page."""

import os
import ssl
from typing import NamedTuple

from mai_depth.errors import UserError


class Certificate(NamedTuple):
    """A certificate and its private key: the paths of two PEM files."""

    cert: str
    key: str


def read_certificate(
    cert: str | os.PathLike | None, key: str | os.PathLike | None
) -> Certificate | None:
    """Checks a certificate and its key before the server starts.

    Args:
        cert: `--tls_cert`, or None.
        key: `--tls_key`, or None.

    Returns:
        Both; None if neither is given.

    Raises:
        UserError: One is missing or broken, or they do not match.
    """
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        given, missing = ("tls_key", "tls_cert") if cert is None else ("tls_cert", "tls_key")
        raise UserError(f"--{given}: give --{missing} as well; mkcert makes both")
    for flag, path in (("tls_cert", cert), ("tls_key", key)):
        try:
            open(path, "rb").close()
        except OSError as error:
            raise UserError(f"--{flag}={os.fspath(path)}: cannot be read ({error.strerror}); "
                            "mkcert makes one") from error
    try:
        # Given a password, even an empty one, OpenSSL does not ask for it on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise UserError(f"--tls_cert={os.fspath(cert)}, --tls_key={os.fspath(key)}: not a "
                        "certificate in PEM and its own key without a password; mkcert makes "
                        "both") from error
    return Certificate(os.fspath(cert), os.fspath(key))
