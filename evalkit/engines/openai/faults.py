"""What can go wrong between a request and its reply, and the words in which it is told."""

import json
import re
import ssl
from collections.abc import Callable
from typing import Any

from evalkit.errors import RunIncompleteError

_MOST_TOLD = 300  # characters of what a server says
_MOST_READ = 8000


class RefusedError(Exception):
    """The server has answered that it will not do this. `said` is all that it said, for `RequestForm.learn`.

    `lasting`: the same request would be refused again, whichever it is (a wrong key, no credit, no such model).
    """

    def __init__(self, status: int, message: str, said: str = "") -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message
        self.said = said or message

    def with_words(self, change: Callable[[str], str]) -> "RefusedError":
        """The same refusal in changed words."""
        return RefusedError(self.status, change(self.message), change(self.said))

    @property
    def lasting(self) -> bool:
        return self.status in (401, 402, 403, 407)


class FaultError(Exception):
    """One attempt that failed and may be repeated, after `delay` seconds where the server has said so.

    `asked` are the seconds that it has said, however many. `partial` is the text that had come; `slow`: it failed by
    taking too long, so that repeating it costs as long.
    """

    def __init__(
        self,
        message: str,
        delay: float | None = None,
        overloaded: bool = False,
        unreachable: bool = False,
        slow: bool = False,
        partial: str = "",
        asked: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.asked = asked
        self.delay = delay
        self.overloaded = overloaded
        self.unreachable = unreachable
        self.slow = slow
        self.partial = partial


class GivenUpError(Exception):
    """Every attempt of one request has failed, while the server answered others. `partial` is the text that came."""

    def __init__(self, message: str, partial: str = "") -> None:
        super().__init__(message)
        self.partial = partial


class ServerError(RunIncompleteError):
    """No server answers or none will do what is asked: the run ends, and the hint says what has to change."""


def tidy(text: str, most: int = _MOST_TOLD) -> str:
    """A stranger's text in one line without control characters, at most `most` characters."""
    plain = "".join(c if c.isprintable() else " " for c in text[: 20 * most])
    plain = " ".join(plain.split())
    return plain if len(plain) <= most else plain[: most - 1] + "…"


def loads(text: str | bytes) -> Any:
    """JSON as servers write it: a byte-order mark is passed over, NaN and Infinity are None, broken UTF-8 is U+FFFD.

    Raises ValueError for anything else, for numbers of thousands of digits and for thousands of levels too.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    try:
        return json.loads(text.lstrip("\ufeff \t\r\n"), parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def said_in(body: bytes) -> str:
    """What a server says in the body of an error."""
    text = body[: 8 * _MOST_READ].decode("utf-8", "replace")
    try:
        return _message(loads(text))[:_MOST_READ]
    except ValueError:
        pass
    if re.match(r"\s*<", text):  # a proxy's page
        title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
        shown = title[1] if title and title[1].strip() else re.sub(r"<[^>]*>", " ", text)
        return f"an HTML page: {shown.strip()}"[:_MOST_READ]
    return text[:_MOST_READ]


def _message(content: Any) -> str:
    """The message of an error object: OpenAI's, FastAPI's `detail`, Google's list of one, and others' forms of it."""
    if isinstance(content, list) and content:
        return _message(content[0])
    if not isinstance(content, dict):
        return str(content)
    for name in ("error", "message", "detail", "errors", "msg"):
        found = content.get(name)
        if isinstance(found, dict):
            return _with_param(_message(found), found)
        if isinstance(found, list) and found:
            return "; ".join(_detail(each) for each in found[:20])
        if found and isinstance(found, str):
            return _with_param(found, content)
    return json.dumps(content, ensure_ascii=False)


def _with_param(message: str, content: dict[str, Any]) -> str:
    """OpenAI's error objects name the field apart."""
    param = content.get("param")
    return f"{message} (param: '{param}')" if isinstance(param, str) and param and param not in message else message


def _detail(each: Any) -> str:
    """One entry of pydantic's list of errors."""
    if not isinstance(each, dict):
        return str(each)
    where = each.get("loc")
    names = [str(part) for part in where if part != "body"] if isinstance(where, list) else []
    field = f"field '{'.'.join(names)}': " if names else ""
    return f"{field}{each.get('msg') or each.get('message') or each}"


def error_status(content: Any) -> tuple[int, str] | None:
    """The status and the words of an error that came with status 200, in a reply or in the middle of a stream."""
    if not isinstance(content, dict) or not content.get("error"):
        return None
    error = content["error"]
    code = error.get("code", error.get("status")) if isinstance(error, dict) else content.get("code")
    kind = error.get("type") if isinstance(error, dict) else content.get("type")
    for each in (code, kind):
        if isinstance(each, int) and not isinstance(each, bool) and 400 <= each < 600:
            return each, _message(content)
        if isinstance(each, str):
            if re.fullmatch(r"[45]\d\d", each):
                return int(each), _message(content)
            for pattern, status in _CODES:
                if re.search(pattern, each, re.IGNORECASE):
                    return status, _message(content)
    return 500, _message(content)


_CODES = (
    (r"quota|billing|payment|credit", 402),
    (r"rate.?limit|too.?many|throttl", 429),
    (r"overload|unavailable|busy", 503),
    (r"auth|api.?key", 401),
    (r"permission|forbidden", 403),
    (r"not.?found", 404),
    (r"invalid|bad.?request|context.?length|unsupported", 400),
)
_OUT_OF_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|balance|credit)|exceeded your current quota|billing", re.IGNORECASE
)


def is_out_of_credit(said: str) -> bool:
    """Whether a 429 is no matter of waiting: the account has no credit left."""
    return bool(_OUT_OF_CREDIT.search(said))


def tls_fault(error: BaseException) -> str | None:
    """What is wrong with the TLS connection, where trying again does not help; None for any other fault."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return None
        if isinstance(seen, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({seen.verify_message or seen.reason})"
        if isinstance(seen, ssl.SSLError):
            if isinstance(seen, ssl.SSLEOFError | ssl.SSLZeroReturnError):
                return None
            reason = (seen.reason or "unknown").replace("_", " ").lower()
            plain = "wrong version number" in reason or "http request" in reason or "record layer" in reason
            return "it does not speak TLS" if plain else f"TLS fails ({reason})"
        seen = seen.__cause__ or seen.__context__
    return None
