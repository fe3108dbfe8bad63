"""What is counted and measured of the control plane as a whole. Totals begin with the process and
only ever grow."""

from __future__ import annotations

from collections import Counter

from comfytrickle import __version__
from comfytrickle.states import ExitCause, Health, State
from control_plane.api.starting import REASONS
from control_plane.service import Service
from control_plane.shapes.exposition import Family
from control_plane.shapes.reports import health
from control_plane.streams.stream import Stream

_STATES = tuple(state.value for state in State if state is not State.EXITED)
_TOTALS = {  # field of Counters: name, help
    "frames_in": ("frames_in", "Pictures that came from sources."),
    "frames_out": ("frames_out", "Pictures that went out."),
    "passed_through": ("frames_passed_through", "Pictures sent on that no workflow made."),
    "node_errors": ("node_errors", "Frames and pieces of sound on which a node raised."),
    "audio_in": ("audio_units_in", "PES packets of sound that came from sources."),
    "audio_out": ("audio_units_out", "Units of sound that went out."),
    "audio_silence": ("audio_units_silence", "Units of silence put into gaps."),
    "audio_unheard": ("audio_pieces_unheard", "Pieces a workflow had no time for."),
    "bytes_in": ("received_bytes", "Of transport stream, from sources."),
    "bytes_out": ("sent_bytes", "Of transport stream, to sinks."),
    "segments_in": ("segments_in", "Segments begun to read."),
    "segments_out": ("segments_out", "Segments that the sink's server confirmed."),
    "segments_lost": ("segments_lost", "Of sources, gone before they could be read."),
    "transport_retries": ("transport_retries", "Requests that broke and were made again."),
}


def pool_families(service: Service) -> list[Family]:
    active = service.streams.registry.active()
    return [
        *_state(service),
        *_streams(active),
        *_slots(service),
        *_starts(service),
        *_totals(service, active),
        *_devices(service),
    ]


def _state(service: Service) -> list[Family]:
    return [
        _gauge("build_info", "1; its label is the version.").add(1, version=__version__),
        _gauge("ready", "1: a start can succeed, as far as the control plane is concerned.").add(
            service.not_ready() is None
        ),
        _gauge("draining", "1: no new streams are let in.").add(service.streams.draining),
        _gauge("quarantined_workflows", "Workflows that are not started any more.").add(
            len(service.streams.quarantine.all_held())
        ),
    ]


def _streams(active: list[Stream]) -> list[Family]:
    by_state = Counter(stream.state.value for stream in active)
    by_health = Counter(health(stream.facts()).value for stream in active)
    states = _gauge("streams", "Active streams, by state.")
    for word in _STATES:
        states.add(by_state[word], state=word)
    healths = _gauge("streams_health", "Active streams, by health.")
    for kind in Health:
        healths.add(by_health[kind.value], health=kind.value)
    return [states, healths]


def _slots(service: Service) -> list[Family]:
    warm = _gauge("warm_workers", "Workers in store that can be taken.")
    wanted = _gauge("warm_workers_wanted", "How many of them there should be.")
    for entry in service.warm.report():
        size = entry["size"]
        labels = {
            "engine": str(entry["engine"]),
            "workflow": str(entry["workflow"] or ""),
            "size": "x".join(map(str, size)) if isinstance(size, list) else "",
        }
        warm.add(float(str(entry["ready"])), **labels)
        wanted.add(float(str(entry["wanted"])), **labels)
    return [
        _gauge("slots", "For streams, on all devices.").add(service.inventory.total),
        _gauge("slots_free", "Of them, not taken.").add(service.inventory.free),
        _gauge("starts_waiting", "Starts in the queue.").add(service.admission.waiting),
        warm,
        wanted,
    ]


def _starts(service: Service) -> list[Family]:
    tally = service.streams.tally
    refused = _counter("starts_refused", "Starts that were refused, by reason.")
    for reason in REASONS:
        refused.add(tally.refused[reason], reason=reason)
    ended = _counter("streams_ended", "Streams that had a worker and are over, by exit cause.")
    workers = _counter("worker_ends", "Workers of streams that have ended, by exit cause.")
    for cause in ExitCause:
        ended.add(tally.ended[cause.value], cause=cause.value)
        workers.add(tally.worker_ends[cause.value], cause=cause.value)
    return [
        _counter("starts_accepted", "Starts that made a stream.").add(tally.accepted),
        _counter("starts_repeated", "Starts of a stream that ran already.").add(tally.repeated),
        refused,
        ended,
        workers,
    ]


def _totals(service: Service, active: list[Stream]) -> list[Family]:
    tally = service.streams.tally
    counters = tally.counters(active)
    families = [
        _counter(name, help_text).add(getattr(counters, field))
        for field, (name, help_text) in _TOTALS.items()
    ]
    dropped = _counter("frames_dropped", "Pictures that came in and did not go out, by cause.")
    for cause, count in counters.dropped.items():
        dropped.add(count, cause=cause)
    restarts = _counter("restarts", "Workers that replaced one that died.")
    return [*families, dropped, restarts.add(tally.restarts(active))]


def _devices(service: Service) -> list[Family]:
    info = _gauge("device_info", "1; its labels say what it is and how it is.")
    slots = _gauge("device_slots", "For streams.")
    used = _gauge("device_slots_used", "Of them, taken.")
    total = _gauge("device_memory_bytes", "Of the device.")
    free = _gauge("device_memory_free_bytes", "Of it, not taken by anybody.")
    busy = _gauge("device_utilization_ratio", "Share of the time that something was computed.")
    for device in service.inventory.report():
        who = device["id"]
        info.add(1, device=who, name=device["name"], health=device["health"])
        slots.add(device["slots"], device=who)
        used.add(device["used"], device=who)
        total.add(device["memory"]["total"], device=who)
        free.add(device["memory"]["free"], device=who)
        busy.add(device["utilisation"], device=who)
    return [info, slots, used, total, free, busy]


def _gauge(name: str, help_text: str) -> Family:
    return Family(f"comfytrickle_{name}", "gauge", help_text)


def _counter(name: str, help_text: str) -> Family:
    return Family(f"comfytrickle_{name}_total", "counter", help_text)
