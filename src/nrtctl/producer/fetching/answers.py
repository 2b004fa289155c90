"""Asks an address, and has its answer as a file. Called by `cli.fetching`.

Bytes are bounded as they come, packed or unpacked; a login goes to the host that was named, and to
none that a redirect leads to.
"""

from __future__ import annotations

import base64
import os
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import urllib3

from nrtctl.clock import Clock
from nrtctl.clock.notices import if_it_lasts
from nrtctl.config.counted import counted
from nrtctl.config.model import Fetch
from nrtctl.errors import ConnectError, NrtctlError
from nrtctl.net.proxies import proxy_for
from nrtctl.net.tls import Files, Names, client_context
from nrtctl.producer.fetching.addresses import origin, redirected, shown, with_parameter
from nrtctl.producer.fetching.cursor import Reached
from nrtctl.producer.sources.files.unpacking import Damaged, Unpacker

MOST_REDIRECTS = 5
PIECE = 256 * 1024
LONGEST_WAIT = 3600.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_TYPES = {"text/csv": ".csv", "application/csv": ".csv", "text/tab-separated-values": ".tsv"}


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Attributes:
        path: of the file that has it.
        reached: what it says of itself; its cursor is the one that was asked with.
    """

    path: Path
    reached: Reached


class Later(Exception):
    """There is no answer now. `seconds`: until it may be asked again; None: that is not said."""

    def __init__(self, why: str, seconds: float | None = None) -> None:
        super().__init__(why)
        self.seconds = seconds


class Fetcher:
    """
    Args:
        url: checked.
        parameter: of the query, for the cursor.
        most: bytes of an answer, packed and unpacked.
        allow_http: a redirect may leave this machine without TLS.
    """

    def __init__(
        self,
        settings: Fetch,
        url: str,
        parameter: str | None,
        *,
        most: int,
        clock: Clock,
        allow_http: bool = False,
    ) -> None:
        """Raises ConfigError: a certificate cannot be read."""
        self._settings = settings
        self._url = url
        self._parameter = parameter
        self._most = most
        self._clock = clock
        self._allow_http = allow_http
        self._failing = False
        self._context = _context(settings) if url.lower().startswith("https") else None

    def patiently(
        self,
        reached: Reached,
        into: Path,
        stop: Event,
        *,
        tries: int | None,
        waiting: Callable[[str, float], None],
    ) -> Answer | None:
        """Ask until there is an answer; None: there is none that is new, or `stop` is set.

        Args:
            into: a directory for its file.
            tries: None: without end.
            waiting: told (reason, seconds) before each pause.

        Raises:
            ConnectError: there was none in so many tries, or the server refuses us.
            NrtctlError: it is none that can be used.
        """
        pause, tried = FIRST_PAUSE, 0
        while not stop.is_set():
            try:
                answer = self.ask(reached, into, stop)
                self._failing = False
                return answer
            except Later as later:
                self._failing = True
                tried += 1
                if tries is not None and tried >= tries:
                    raise ConnectError(
                        f"{later}, {counted(tried, 'time')}",
                        hint="run the same command again later",
                    ) from None
                seconds = pause
                if later.seconds is not None:
                    seconds = min(max(later.seconds, FIRST_PAUSE), LONGEST_WAIT)
                waiting(str(later), seconds)
                stop.wait(seconds)
                pause = min(2 * pause, LONGEST_PAUSE)
        return None

    def ask(self, reached: Reached, into: Path, stop: Event) -> Answer | None:
        """Once. Raises also Later."""
        url = self._url
        if self._parameter is not None and reached.cursor:
            url = with_parameter(url, self._parameter, reached.cursor)
        first = url
        for _ in range(MOST_REDIRECTS + 1):
            answer = self._request(url, reached, login=origin(url) == origin(first))
            try:
                if answer.status not in _REDIRECTS:
                    return self._understood(answer, url, reached, into, stop)
                location = answer.headers.get("location", "")
                url = redirected(url, location, allow_http=self._allow_http)
            finally:
                answer.close()
        raise NrtctlError(f"{shown(first)} redirects more than {MOST_REDIRECTS} times")

    def _request(self, url: str, reached: Reached, *, login: bool) -> Any:
        """Raises Later, NrtctlError."""
        headers = {"accept": "application/json, application/x-ndjson, text/csv, */*;q=0.1",
                   "accept-encoding": "gzip", "user-agent": "nrtctl"}  # fmt: skip
        if reached.etag:
            headers["if-none-match"] = reached.etag
        if reached.modified:
            headers["if-modified-since"] = reached.modified
        if login:
            headers |= login_of(self._settings)
        timeout = urllib3.Timeout(connect=self._settings.timeout, read=self._settings.timeout)
        proxy = proxy_for(url, os.environ)
        options: dict[str, Any] = {"timeout": timeout, "retries": False}
        if self._context is not None:
            options["ssl_context"] = self._context
        pool: urllib3.PoolManager
        if proxy is None:
            pool = urllib3.PoolManager(**options)
        else:
            named = None
            if proxy.login is not None:
                named = urllib3.make_headers(proxy_basic_auth=proxy.login)
            pool = urllib3.ProxyManager(proxy.url, proxy_headers=named, **options)
        try:
            with self._said(url):
                return pool.request(
                    "GET", url, headers=headers, redirect=False, preload_content=False,
                    decode_content=False,
                )  # fmt: skip
        except (urllib3.exceptions.HTTPError, OSError) as error:
            via = "" if proxy is None else f" through the proxy {proxy}"
            raise Later(f"{shown(url)} does not answer{via}: {_words(error)}") from error
        except ValueError:  # whose words may quote a header, with the login in it
            raise NrtctlError(
                f"{shown(url)} cannot be asked: a header of the request would not be valid",
                hint="check fetch.token, and remove the file of what was fetched if it was edited",
            ) from None

    def _said(self, url: str) -> AbstractContextManager[None]:
        """Silence is said, but not again in each try after one that has failed."""
        if self._failing:
            return nullcontext()
        waited = f"waiting for {shown(url)} for up to {self._settings.timeout:g} s"
        return if_it_lasts(lambda: f"{waited}: it does not answer yet")

    def _understood(
        self, answer: Any, url: str, reached: Reached, into: Path, stop: Event
    ) -> Answer | None:
        status = answer.status
        if status == 304:
            return None
        if status in _LATER:
            after = retry_after(answer.headers.get("retry-after", ""), self._clock.time())
            raise Later(f"{shown(url)} answers {status}", after)
        if status in {401, 403}:
            raise ConnectError(
                f"{shown(url)} refuses the login ({status})",
                hint="set NRTCTL_FETCH__TOKEN, or fetch.username and NRTCTL_FETCH__PASSWORD",
            )
        if status == 204:
            return None
        if status != 200:
            raise NrtctlError(f"{shown(url)} answers {status} instead of records")
        path = into / name_of(url, answer.headers)
        digest = self._save(answer, url, path, stop)
        if not digest or digest == reached.digest:
            return None
        etag, modified = (answer.headers.get(name, "") for name in ("etag", "last-modified"))
        return Answer(path, Reached(etag, modified, digest, reached.cursor))

    def _save(self, answer: Any, url: str, path: Path, stop: Event) -> str:
        """The answer's hash; empty: it has none, or `stop` is set."""
        packed = answer.headers.get("content-encoding", "").strip().lower()
        if packed not in {"", "identity", "gzip", "x-gzip"}:
            raise NrtctlError(
                f"{shown(url)} answers in the encoding {packed}, which is not supported"
            )
        unpacker = Unpacker("gzip", PIECE) if "gzip" in packed else None
        digest, size, came = sha256(), 0, 0
        try:
            with path.open("wb") as file:
                pieces = answer.stream(PIECE, decode_content=False)
                while True:
                    with self._said(url):
                        piece = next(pieces, None)
                    if piece is None:
                        break
                    if stop.is_set():
                        return ""
                    came += len(piece)
                    for part in _parts(unpacker, piece):
                        size += len(part)
                        if max(size, came) > self._most:
                            raise NrtctlError(
                                f"{shown(url)} answers with more than "
                                f"{counted(self._most, 'byte')}",
                                hint="a higher --max-answer allows larger responses",
                            )
                        digest.update(part)
                        file.write(part)
                if unpacker is not None:
                    unpacker.finish()
        except Damaged as error:
            raise NrtctlError(f"the response of {shown(url)}: {error}") from error
        except (urllib3.exceptions.HTTPError, ssl.SSLError, ConnectionError, TimeoutError) as error:
            raise Later(f"the response of {shown(url)} breaks off: {_words(error)}") from error
        return digest.hexdigest() if size else ""


def _parts(unpacker: Unpacker | None, piece: bytes) -> Any:
    if unpacker is None:
        yield piece
        return
    unpacker.feed(piece)
    while part := unpacker.read():
        yield part


def login_of(settings: Fetch) -> dict[str, str]:
    if settings.token is not None:
        token = settings.token.get_secret_value()
        if settings.token_header is not None:
            return {settings.token_header: token}
        return {"authorization": f"Bearer {token}"}
    if settings.username is not None and settings.password is not None:
        pair = f"{settings.username}:{settings.password.get_secret_value()}"
        return {"authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def retry_after(text: str, now: float) -> float | None:
    """Seconds, of a number of them or a date; None: it is none."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def name_of(url: str, headers: Mapping[str, str]) -> str:
    """A name for the file, whose ending says what it is where the content does not."""
    last = shown(url).rpartition("/")[2]
    safe = "".join(each for each in last if each.isascii() and (each.isalnum() or each in "._-"))
    name = safe.lstrip("._")[-80:] or "answer"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    ending = _TYPES.get(kind, "")
    return name if name.lower().endswith((".csv", ".tsv")) else name + ending


def _context(settings: Fetch) -> ssl.SSLContext:
    names = Names(
        service="the server", address="the address", ca="fetch.ca_certificate",
        certificate="fetch.client_certificate", key="fetch.client_key", plain="",
        sealed="write the key without a password",
    )  # fmt: skip
    return client_context(
        Files(settings.ca_certificate, settings.client_certificate, settings.client_key), names
    )


def _words(error: Exception) -> str:
    """What happened, without the names of Python's objects."""
    cause = getattr(error, "reason", None) or error
    return str(cause).rpartition(">: ")[2].rpartition("): ")[2] or type(cause).__name__
