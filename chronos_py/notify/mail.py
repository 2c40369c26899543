"""Mail by SMTP."""

from __future__ import annotations

import smtplib
import socket
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from chronos_py.model.notice import Notice
from chronos_py.notify.base import Failed, Refused

TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class MailSettings:
    """`tls`: on-connect, starttls (which is then required) or off. Without both user and password nobody logs in."""

    host: str
    port: int
    sender: str
    user: str = ""
    password: str = ""
    tls: str = "off"
    ca_file: str = ""


class MailChannel:
    """Sends each notice in a connection of its own; owners without an address get none."""

    name = "mail"

    def __init__(self, settings: MailSettings, timeout: float = TIMEOUT_S) -> None:
        self._settings = settings
        self._timeout = timeout

    def send(self, notice: Notice, owner: str) -> bool:
        """See Channel."""
        if not owner:
            return False
        message = self._message(notice, owner)
        try:
            with self._connection() as connection:
                connection.send_message(message, self._settings.sender, [owner])
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise _problem(code, text) from None
        except smtplib.SMTPNotSupportedError as error:
            raise Failed(f"the mail server cannot do what is asked of it: {error}") from None
        except smtplib.SMTPAuthenticationError as error:
            raise Failed(f"the mail server refuses user and password: {error.smtp_code}") from None
        except smtplib.SMTPResponseException as error:
            raise _problem(error.smtp_code, error.smtp_error) from None
        except (smtplib.SMTPException, OSError) as error:
            raise Failed(f"{type(error).__name__}: {error}") from None
        except ValueError as error:  # an address that cannot stand in a header
            raise Refused(str(error)) from None
        return True

    def _message(self, notice: Notice, owner: str) -> EmailMessage:
        message = EmailMessage(policy=SMTP)
        try:
            message["From"] = self._settings.sender
            message["To"] = owner
            message["Subject"] = notice.subject
        except (ValueError, IndexError) as error:
            raise Refused(f"cannot stand in a mail's header: {error}") from None
        message["Date"] = formatdate(notice.at / 1000)
        position = notice.owners.index(owner) if owner in notice.owners else 0
        message["Message-ID"] = f"<{notice.number}.{position}.chronos@{_domain(self._settings.sender)}>"
        message.set_content(notice.body or "")
        return message

    def _connection(self) -> smtplib.SMTP:
        settings = self._settings
        context = ssl.create_default_context(cafile=settings.ca_file or None) if settings.tls != "off" else None
        own_name = socket.gethostname()  # smtplib's default asks the name service, which may take long
        if settings.tls == "on-connect":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, own_name, timeout=self._timeout, context=context
            )
        else:
            connection = smtplib.SMTP(settings.host, settings.port, own_name, timeout=self._timeout)
        try:
            if settings.tls == "starttls":
                connection.starttls(context=context)
            if settings.user and settings.password:
                connection.login(settings.user, settings.password)
        except BaseException:
            connection.close()
            raise
        return connection


def _domain(sender: str) -> str:
    found = sender.rpartition("@")[2].strip("> ")
    return found if found.isascii() and found.replace(".", "").replace("-", "").isalnum() else "localhost"


def _problem(code: int, text: bytes | str) -> Failed | Refused:
    told = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return (Refused if 500 <= code < 600 else Failed)(f"the mail server says {code} {told}"[:300])
