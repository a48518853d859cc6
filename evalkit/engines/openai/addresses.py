"""URLs of servers: what is added to them, what of them is secret, where a redirect may lead, what a proxy is for."""

import ipaddress
import os
import re
from base64 import b64encode
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import getproxies

from evalkit.errors import EvalkitError

KEY_VARIABLES = ("EVALKIT_API_KEY", "OPENAI_API_KEY")
_SECRET_LENGTH = 12  # of a query's value: a version is shorter, a key is longer
_ENDPOINTS = ("/chat/completions", "/completions", "/models")
_AZURE = re.compile(r"\.(?:openai|cognitiveservices|services\.ai)\.azure\.com$")


def displayed(url: str) -> str:
    """A URL without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def api_root(url: str) -> str:
    """The URL that `/chat/completions` is added to. Raises EvalkitError if it is none."""
    hint = "give it as http://localhost:8000/v1."
    try:
        parts = urlsplit(url.strip())
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, an address in wrong brackets
        raise EvalkitError("The base URL has a host or a port that cannot be read.", hint) from None
    if not known or any(c.isspace() or not c.isprintable() for c in url.strip()):
        raise EvalkitError(f"{displayed(url) or 'The base URL'} is no http or https URL.", hint)
    path = parts.path.rstrip("/")
    for endpoint in _ENDPOINTS:
        path = path.removesuffix(endpoint)
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", parts.query, ""))


def join(root: str, path: str) -> str:
    """The URL of `path` below the API's root, of `../path` beside it."""
    base, mark, query = root.partition("?")
    if path.startswith("../"):
        return base.rpartition("/")[0] + path[2:]
    return base + path + mark + query


def url_secrets(url: str) -> list[str]:
    """What a URL holds that must not be told: its password and query values, as they stand and as they are sent."""
    parts = urlsplit(url)
    found = [value for _, value in parse_qsl(parts.query) if len(value) >= _SECRET_LENGTH]
    if parts.password:
        login = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
        found += [parts.password, unquote(parts.password), b64encode(login.encode()).decode()]
    return found


def proxy_secrets() -> list[str]:
    """The passwords of the proxies that the environment names."""
    return [secret for proxy in getproxies().values() for secret in url_secrets(proxy)]


def is_local(url: str) -> bool:
    """Whether a URL is of this machine, which no proxy can reach."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def redirected(url: str, location: str) -> tuple[str, bool]:
    """Where a redirect leads, and whether what is secret may go there: the same host and port, or its https."""
    target = urljoin(url, location)
    before, after = urlsplit(url), urlsplit(target)
    try:
        ports = [part.port or {"http": 80, "https": 443}.get(part.scheme, 0) for part in (before, after)]
    except ValueError:
        return target, False
    if after.username is not None or after.hostname != before.hostname:
        return target, False
    same = after.scheme == before.scheme and ports[0] == ports[1]
    return target, same or (before.scheme, after.scheme, *ports) == ("http", "https", 80, 443)


def key_from_environment() -> str | None:
    """The key: the first of KEY_VARIABLES that is set. Raises EvalkitError for one that no header can hold."""
    for name in KEY_VARIABLES:
        if key := os.environ.get(name, "").strip():
            if not key.isascii() or not key.isprintable():
                raise EvalkitError(f"{name} holds characters that no key has.", f"set {name} again, without them.")
            return key
    return None


def key_headers(url: str, key: str | None) -> dict[str, str]:
    """The headers with the key: Azure's deployments have one of their own."""
    if not key:
        return {}
    if _AZURE.search(urlsplit(url).hostname or "") and "/deployments/" in urlsplit(url).path:
        return {"api-key": key}
    return {"Authorization": f"Bearer {key}"}


def read_headers(texts: tuple[str, ...]) -> dict[str, str]:
    """Headers from `NAME: VALUE`. Raises EvalkitError for what is no header; a value is told nowhere."""
    found = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name.strip()):
            raise EvalkitError("A --header has no name.", "write it as --header 'NAME: VALUE'.")
        value = value.strip()
        if not value.isascii() or not all(c.isprintable() for c in value):
            raise EvalkitError(f"The header {name.strip()} holds characters that no header may have.", "remove them.")
        found[name.strip()] = value
    return found
