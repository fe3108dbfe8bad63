"""What the demo says: a line while it runs, a summary at the end. Pure text."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from comfytrickle.demo.ledger import Ledger, quantiles


def live_line(ledger: Ledger) -> str:
    """How it goes, on one line of less than 80 characters."""
    latency = quantiles(ledger.recent)
    rate = ledger.rate()
    return (
        f"in {ledger.frames_in:6d}  out {ledger.frames_out:6d}"
        f"  {f'{rate:5.1f}' if rate else '    -'} fps"
        f"  latency {f'{latency.p50:6.1f}' if latency else '     -'} ms"
        f"  lost {ledger.lost}"
    )


def result(
    ledger: Ledger, *, workflow: str, seconds: float, facts: dict[str, Any], faults: list[str]
) -> dict[str, Any]:
    """The demo's JSON. ``facts`` are further keys; ``ok``: ``faults`` is empty."""
    latency = quantiles(ledger.latencies)
    first = ledger.first_out_s
    return {
        "ok": not faults,
        "faults": faults,
        "workflow": workflow,
        "frames_in": ledger.frames_in,
        "frames_out": ledger.frames_out,
        "lost": ledger.lost,
        "duplicated": ledger.duplicated,
        "out_of_order": ledger.out_of_order,
        "unreadable": ledger.unreadable,
        "wrong_pts": ledger.wrong_pts,
        "damaged": ledger.damaged,
        "latency_ms": asdict(latency) if latency else None,
        "first_frame_ms": None if first is None else round(first * 1000, 2),
        "fps": None if ledger.mean_rate is None else round(ledger.mean_rate, 2),
        "seconds": round(seconds, 3),
        "pictures": {"checked": ledger.pictures_checked, "wrong": ledger.pictures_wrong},
        **facts,
    }


def summary(report: dict[str, Any]) -> str:
    """The same for people."""
    latency = report["latency_ms"]
    lines = [
        f"workflow  {report['workflow']}, {report['size']} at {report['source_fps']:g} fps,"
        f" {report['seconds']:.1f} s",
        f"frames    {report['frames_in']} sent, {report['frames_out']} came back,"
        f" {report['lost']} lost, {report['duplicated']} duplicated,"
        f" {report['out_of_order']} out of order",
    ]
    if latency:
        lines.append(
            f"latency   p50 {latency['p50']:.1f} ms, p95 {latency['p95']:.1f} ms,"
            f" p99 {latency['p99']:.1f} ms (last byte sent to last byte received)"
        )
    lines.append(f"pictures  {_pictures(report)}")
    if report["dropped"]:
        dropped = ", ".join(f"{n} {cause}" for cause, n in report["dropped"].items())
        lines.append(f"dropped   by the worker: {dropped}")
    right = "every frame is right" if report["pictures"]["checked"] else "every frame came back"
    verdict = right if report["ok"] else "; ".join(report["faults"])
    lines.append(f"result    {'OK' if report['ok'] else 'NOT OK'}: {verdict}")
    return "\n".join(lines)


def refusal(answer: dict[str, Any]) -> str:
    """What the API says about a start that it refused, node by node."""
    lines = [str(answer.get("error", answer))]
    for node, entry in (answer.get("node_errors") or {}).items():
        where = f"node {node} ({entry['class_type']})" if node else "workflow"
        lines += [f"  {where}: {error['message']}" for error in entry["errors"]]
    return "\n".join(lines)


def _pictures(report: dict[str, Any]) -> str:
    checked, wrong = report["pictures"]["checked"], report["pictures"]["wrong"]
    if checked:
        return (
            f"{checked} compared with what the workflow should give, {wrong} wrong"
            f" (last difference {report['from_reference']} of 255)"
        )
    if report["changed"] is None:
        return "not compared with the source (another size, or no counter to match them by)"
    mean = f"mean difference of the last picture: {report['from_source']} of 255"
    if report["changed"]:
        return f"differ from the source ({mean})"
    return f"are close to the source ({mean}; encoding makes some, and so does a small change)"
