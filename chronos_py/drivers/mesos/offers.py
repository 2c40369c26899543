"""Mesos' offers, and its wishes to have agents back, as the model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chronos_py.drivers.mesos.amounts import SHARED, owner, room, usable
from chronos_py.drivers.mesos.reading import Message, identity, integer, message, number, part, parts, spans, text
from chronos_py.model.offer import InverseOffer, Offer, Outage
from chronos_py.model.resources import Resources

_NANOS = 1_000_000  # in a millisecond


@dataclass(frozen=True, slots=True)
class Detail:
    """What a launch needs back: the offer's usable resource objects. `url` is the agent's address, "" if unknown."""

    resources: tuple[Message, ...]
    url: str = ""


@dataclass(frozen=True, slots=True)
class Ranges:
    """An attribute that holds ranges; no constraint matches it, as in Chronos."""

    spans: tuple[tuple[int, int], ...]


def read_offer(offer: Message, totals: Mapping[str, Resources] | None = None) -> Offer:
    """Return an offer of the model; `totals` are all that agents have, by agent id. Raises ValueError."""
    message(offer, "offer")
    agent_id = identity(offer, "agent_id", "offer")
    resources = tuple(resource for resource in parts(offer, "resources", "offer") if usable(resource))
    return Offer(
        id=identity(offer, "id", "offer"),
        agent_id=agent_id,
        host=text(offer, "hostname", "offer", ""),
        resources=room(resources),
        total=(totals or {}).get(agent_id, Resources()),
        attributes=read_attributes(offer),
        detail=Detail(resources, agent_url(offer)),
        role=text(part(offer, "allocation_info", "offer"), "role", "offer.allocation_info", ""),
        reserved=_reserved(resources),
        outage=_outage(offer, "offer") if offer.get("unavailability") is not None else None,
    )


def _reserved(resources: Sequence[Message]) -> dict[str, Resources]:
    """Return what is reserved for which role."""
    by_role: dict[str, list[Message]] = {}
    for resource in resources:
        if (role := owner(resource)) != SHARED:
            by_role.setdefault(role, []).append(resource)
    return {role: room(parts) for role, parts in by_role.items()}


def read_inverse_offer(offer: Message) -> InverseOffer:
    """Return an inverse offer of the model; its agent's id is empty when it names none. Raises ValueError."""
    message(offer, "inverse offer")
    return InverseOffer(
        id=identity(offer, "id", "inverse offer"),
        agent_id=identity(offer, "agent_id", "inverse offer", ""),
        outage=_outage(offer, "inverse offer"),
    )


def read_attributes(offer: Message) -> dict[str, Any]:
    """Return the agent's attributes by name: text, number, tuple of texts (a set) or Ranges; of equal names the first.

    Raises ValueError.
    """
    attributes: dict[str, Any] = {}
    for attribute in parts(offer, "attributes", "offer"):
        name = text(attribute, "name", "attribute")
        attributes.setdefault(name, _value(attribute, f"attribute {name}"))
    return attributes


def _value(attribute: Message, what: str) -> Any:
    kind = text(attribute, "type", what)
    if kind == "TEXT":
        return text(part(attribute, "text", what), "value", what)
    if kind == "SCALAR":
        return number(part(attribute, "scalar", what), "value", what)
    if kind == "RANGES":
        return Ranges(tuple(spans(attribute, "ranges", what)))
    if kind == "SET":
        items = part(attribute, "set", what).get("item") or []
        if not isinstance(items, list | tuple) or not all(isinstance(item, str) for item in items):
            raise ValueError(f"{what}.set.item: must be a list of texts")
        return tuple(items)
    raise ValueError(f"{what}.type: {kind[:100]!r} is none of TEXT, SCALAR, RANGES, SET")


def agent_url(offer: Message) -> str:
    """Return `scheme://address:port` of the agent's own HTTP service, "" when the offer does not say."""
    url = part(offer, "url", "offer")
    address = part(url, "address", "offer.url")
    host = text(address, "ip", "offer.url.address", "") or text(address, "hostname", "offer.url.address", "")
    if not host or address.get("port") is None:
        return ""
    port = integer(address, "port", "offer.url.address")
    return f"{text(url, 'scheme', 'offer.url', 'http')}://{f'[{host}]' if ':' in host else host}:{port}"


def _outage(offer: Message, what: str) -> Outage:
    span = part(offer, "unavailability", what)
    start = integer(part(span, "start", f"{what}.unavailability"), "nanoseconds", f"{what}.unavailability.start")
    if span.get("duration") is None:
        return Outage(start // _NANOS)
    length = integer(part(span, "duration", f"{what}.unavailability"), "nanoseconds", f"{what}.unavailability.duration")
    return Outage(start // _NANOS, -(-(start + length) // _NANOS))
