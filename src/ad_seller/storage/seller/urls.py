"""One form for the URLs of agents, so that ``HTTPS://X/`` and ``https://x`` are one agent."""

from __future__ import annotations

from urllib.parse import urlsplit

from .access import check_id
from .kinds import AGENT_URL_INDEX_PREFIX

_DEFAULT_PORTS = {"http": 80, "https": 443}


def agent_url_keys(url: object) -> list[str]:
    """Return the keys under which a URL may stand: its one form first, then those that older agents wrote."""
    text = check_id("URL index entry", url)
    forms = dict.fromkeys((one_form(text), text, f"{one_form(text)}/"))
    return [AGENT_URL_INDEX_PREFIX + form for form in forms]


def one_form(url: str) -> str:
    """Return the URL with its host in lower case, without blanks around it, slashes at its end, the usual port.

    What does not look like a URL stays as it is. Source: RFC 3986, section 6.2.
    """
    text = url.strip()
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        return url
    if not host or not parts.scheme:
        return url
    login, at, _ = parts.netloc.rpartition("@")
    bracketed = f"[{host}]" if ":" in host else host
    shown_port = "" if port is None or port == _DEFAULT_PORTS.get(parts.scheme) else f":{port}"
    path = parts.path if parts.query or parts.fragment else parts.path.rstrip("/")
    return parts._replace(netloc=f"{login}{at}{bracketed}{shown_port}", path=path).geturl()
