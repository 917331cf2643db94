"""Getting a network of the catalog from where it is published, only when a person asked for it."""

import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

from LungCADLib.errors import InputError
from LungCADLib.weights.cache import cache_folder, check_digest, import_files, install, no_room, staging
from LungCADLib.weights.catalog import Entry, entry

OFFLINE = "LUNGCAD_WEIGHTS_OFFLINE"
"""Environment variable naming a folder of files brought by hand; where it is set, nothing is ever downloaded."""

_TIMEOUT_S = 30
_PIECE = 1 << 20

Report = Callable[[int, int | None], None]
"""Called with (bytes received, bytes in all or None where the server does not say)."""


def download(name: str, *, license_accepted: bool, report: Report = lambda received, total: None) -> Path:
    """Download a network of the catalog, check it and put it into the cache.

    Parameters
    ----------
    name
        Of the catalog.
    license_accepted
        Whether the person has seen the license and agreed.
    report
        Told how far the download is; what it raises ends the download, and nothing stays.

    Returns
    -------
    Path
        Its folder in the cache.

    Raises
    ------
    InputError
        If the license was not accepted, or the file cannot be had or is another one than was published.
    OutputError
        If it cannot be kept.
    """
    wanted = entry(name)
    if not license_accepted:
        raise InputError(
            f"{name} comes under {wanted.license} ({wanted.license.url}); accept that with --accept-license."
        )
    if os.environ.get(OFFLINE):
        return import_files(name, Path(os.environ[OFFLINE]))
    with staging(wanted) as place:
        file = place / wanted.file
        with _opened(wanted) as answer:
            _receive(wanted, answer, file, report)
        check_digest(file, wanted.digest, wanted)
        return install(wanted, file, place)


def _opened(wanted: Entry) -> http.client.HTTPResponse:
    by_hand = f"or bring the file by hand with `lungcad models import {wanted.name} --from DIR`"
    # Some servers turn Python's own name away.
    request = urllib.request.Request(wanted.url, headers={"User-Agent": "LungCAD"})
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
        return answer
    except urllib.error.HTTPError as error:
        raise InputError(f"{wanted.url} answers {error.code} ({error.reason}); try later, {by_hand}.") from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            f"{wanted.url} cannot be reached ({reason}); connect this computer to the internet, {by_hand}."
        ) from None


def _receive(wanted: Entry, answer: IO[bytes], file: Path, report: Report) -> None:
    length = getattr(answer, "length", None)
    free = shutil.disk_usage(cache_folder()).free
    # A zip lies beside what is unpacked from it for a moment.
    if length is not None and free < 2 * length:
        raise no_room(wanted)
    received = 0
    report(received, length)
    with file.open("wb") as copy:
        while True:
            try:
                piece = answer.read(_PIECE)
            except (OSError, http.client.HTTPException):
                break
            if not piece:
                break
            received += len(piece)
            if received > 2e6 * wanted.megabytes:
                raise InputError(f"{wanted.url} sends far more than {wanted.megabytes} MB; it was not installed.")
            copy.write(piece)
            report(received, length)
    if length is not None and received < length:
        raise InputError(
            f"The connection to {wanted.url} broke after {received / 1e6:.0f} of {length / 1e6:.0f} MB; try again."
        )
