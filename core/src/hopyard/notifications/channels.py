"""The built-in ways to tell a person: web hooks, and Apprise for every other scheme.

An address is a URL. Its scheme picks the channel: first what plugins registered, then `http` and
`https`, then Apprise's services (`mailto://…`, `tgram://…`, `ntfys://…`). Addresses hold credentials: what
is logged goes through `mask`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hopyard.addresses import channel_scheme
from hopyard.errors import NotifyError, SpecError, TransientError
from hopyard.specs import Message, Notifier

if TYPE_CHECKING:
    from hopyard.egress import Egress

__all__ = ["built_in", "deliver", "mask"]

_KNOWN = "an address that Apprise knows, or https://…"
_NEEDS_APPRISE = "Apprise to be installed (hopyard[notify]), or the address of a web hook (https://…)"
_DEFAULT_PORTS = {True: 443, False: 80}


def built_in(egress: Egress) -> dict[str, Notifier]:
    """Return the notifiers that need no plugin, by address scheme."""

    async def webhook(address: str, message: Message) -> None:
        await _webhook(address, message, egress)

    return {scheme: Notifier(kind="webhook", deliver=webhook) for scheme in ("http", "https")}


async def deliver(address: str, message: Message, notifiers: Mapping[str, Notifier], egress: Egress) -> None:
    """Send `message` to `address`; `notifiers` are those of plugins, by address scheme.

    Raises NotifyError for an address that no channel takes, EgressRefused for a place that may not be
    reached, and a TaskError that says what kind of failure it was.
    """
    try:
        scheme = channel_scheme(address)
    except SpecError as error:
        raise NotifyError(str(error)) from None
    notifier = notifiers.get(scheme) or built_in(egress).get(scheme)
    if notifier is not None:
        await notifier.deliver(address, message)
    else:
        await _apprise(address, message, egress)


def fault(address: str, kinds: Collection[str]) -> str | None:
    """Say what would be right instead of an address that no channel takes; None for one that is right.

    `kinds` are the schemes that plugins serve. Loads Apprise for a scheme that is nobody else's.
    """
    try:
        scheme = channel_scheme(address)
        if scheme not in ("http", "https") and scheme not in kinds:
            _service(address)
    except SpecError as error:
        return error.expected
    except NotifyError as error:
        return _NEEDS_APPRISE if isinstance(error.__cause__, ImportError) else _KNOWN
    return None


def mask(address: str) -> str:
    """Return the address without what may be a credential in it, for logs and errors.

    Of web hooks the host stays; of other addresses only the scheme, for their hosts are often tokens.
    """
    scheme, separator, _ = address.partition("://")
    hidden = f"{scheme.lower()}://***" if separator and scheme.isalnum() else "***"
    if scheme.lower() not in ("http", "https"):
        return hidden
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return hidden
    place = f"{parts.scheme}://{host}:{port}" if port else f"{parts.scheme}://{host}"
    return f"{place}/***" if parts.path.strip("/") or parts.query or parts.fragment else place


async def _webhook(address: str, message: Message, egress: Egress) -> None:
    body = {
        "id": message.id,
        "person": message.person,
        "title": message.title,
        "body": message.body,
        "data": dict(message.data),
        "repeat": message.repeat,
    }
    await egress.request("POST", address, json=body, headers={"Idempotency-Key": message.id})


async def _apprise(address: str, message: Message, egress: Egress) -> None:
    from hopyard.notifications import _apprise_http

    service = await asyncio.to_thread(_service, address)  # loads a hundred modules the first time
    await _judge(service, egress)
    body = f"{message.body}\n\n(This message may have been sent before.)" if message.repeat else message.body
    with _apprise_http.guarded(egress):
        sent = await asyncio.to_thread(service.notify, body=body, title=message.title)
    if not sent:
        raise TransientError(f"{mask(address)} did not take the message; Apprise's log has the reason")


def _service(address: str) -> Any:
    try:
        import apprise
    except ImportError as error:
        raise NotifyError(f"found {mask(address)}, expected {_NEEDS_APPRISE}") from error
    service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    if service is None:
        raise NotifyError(f"found {mask(address)}, expected {_KNOWN}")
    service.notify_format = apprise.NotifyFormat.TEXT  # what somebody wrote is never markup
    return service


async def _judge(service: Any, egress: Egress) -> None:
    """Refuse services on a host of the address' own choice where that host may not be reached.

    This is for those that do not speak HTTP, such as mail: their requests are not seen one by one. Apprise
    resolves the name once more by itself, so this guards against addresses in the private network, not
    against a hostile name server.
    """
    host = getattr(service, "smtp_host", None) or service.host
    own_host = "host" in service.template_tokens and getattr(service, "mode", None) != "cloud"
    if not own_host or not host:
        return
    try:
        await egress.addresses(host, service.port or _DEFAULT_PORTS[bool(service.secure)])
    except OSError as error:
        raise TransientError(f"{mask(service.url())}: its host cannot be resolved: {error}") from error
