"""From the server's flags to channels."""

from __future__ import annotations

from urllib.parse import urlsplit

from chronos_py.config import BadSetting, Settings
from chronos_py.flags import BY_NAME
from chronos_py.model.notice import OPT_IN_EVENTS
from chronos_py.notify.base import Channel
from chronos_py.notify.chat import ChatChannel
from chronos_py.notify.further import FurtherChannel
from chronos_py.notify.mail import MailChannel, MailSettings
from chronos_py.notify.sentry import Dsn, SentryChannel
from chronos_py.notify.webhook import WebhookChannel


def _refuse(settings: Settings, flag: str, reason: str) -> BadSetting:
    return BadSetting(flag, BY_NAME[flag].shown(settings.values[flag]), reason, settings.sources.get(flag, ""))


def channels_of(settings: Settings) -> list[Channel]:
    """Return the channels that are set up, in the order in which Chronos has them. Raises BadSetting."""
    dialect = int(settings.http_notification_form)
    channels: list[Channel] = []
    mail = _mail(settings)
    if mail is not None:
        channels.append(mail)
    if settings.raven_dsn:
        try:
            channels.append(SentryChannel(Dsn.parse(settings.raven_dsn), settings.host, dialect))
        except ValueError as error:
            raise _refuse(settings, "raven_dsn", str(error)) from None
    chats = {name: _url(settings, f"{name}_url") for name in ("slack", "mattermost")}
    channels += [ChatChannel(name, url) for name, url in chats.items() if url]
    if url := _url(settings, "http_notification_url"):
        credentials = settings.http_notification_credentials
        if credentials and ":" not in credentials:
            raise _refuse(settings, "http_notification_credentials", "must be user:password")
        channels.append(WebhookChannel(url, credentials, dialect))
    elif settings.http_notification_credentials:
        raise _refuse(settings, "http_notification_credentials", "is of no use without --http_notification_url")
    return [*channels, *_further(settings)]


def events_of(settings: Settings) -> frozenset[str]:
    """Return the opt-in events that are told. Raises BadSetting."""
    chosen = frozenset(filter(None, (part.strip() for part in settings.notification_events.split(","))))
    if chosen == {"all"}:
        return frozenset(OPT_IN_EVENTS)
    if unknown := sorted(chosen.difference(OPT_IN_EVENTS)):
        raise _refuse(
            settings, "notification_events", f"{unknown[0]!r} is not one of {', '.join(OPT_IN_EVENTS)}, or all alone"
        )
    return chosen


def _url(settings: Settings, flag: str) -> str:
    url = str(settings.values[flag])
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if url and not usable:
        raise _refuse(settings, flag, "must be an http or https URL")
    return url


def _mail(settings: Settings) -> MailChannel | None:
    if not settings.mail_server:
        return None
    host, colon, port = str(settings.mail_server).rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise _refuse(settings, "mail_server", "must be host:port")
    if not settings.mail_from:
        raise _refuse(settings, "mail_from", "is needed with --mail_server")
    if settings.mail_ssl and settings.mail_starttls:
        raise _refuse(settings, "mail_starttls", "and --mail_ssl are two ways to do the same: choose one")
    tls = "on-connect" if settings.mail_ssl else "starttls" if settings.mail_starttls else "off"
    return MailChannel(
        MailSettings(
            host.strip("[]"), int(port), settings.mail_from, settings.mail_user, settings.mail_password, tls,
            settings.mail_ca_file,
        )
    )  # fmt: skip


def _further(settings: Settings) -> list[Channel]:
    channels: list[Channel] = []
    counts: dict[str, int] = {}
    for url in str(settings.notification_urls).split():
        try:
            scheme = FurtherChannel.check(url)
        except ImportError:
            raise _refuse(settings, "notification_urls", "needs apprise: install chronos-py[apprise]") from None
        except ValueError as error:
            raise _refuse(settings, "notification_urls", str(error)) from None
        counts[scheme] = counts.get(scheme, 0) + 1
        suffix = f"-{counts[scheme]}" if counts[scheme] > 1 else ""
        channels.append(FurtherChannel(f"url-{scheme}{suffix}", url))
    return channels
