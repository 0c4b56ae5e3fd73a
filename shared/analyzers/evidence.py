"""Pointers to what an analyzer saw, for a person to look up; nothing that looks like a credential leaves here."""

from shared.domain.cause import Evidence, EvidenceSource
from shared.domain.change import Edit
from shared.domain.objects import Event, View
from shared.domain.redaction import LONGEST, shown, shown_line, shown_slot


def at(view: View, path: str) -> Evidence:
    """Point at what stands at a path of an object."""
    return Evidence(source=EvidenceSource.OBJECT, pointer=f"{view.ref}#{path}", value=shown(path, view.object.at(path)))


def seen(view: View, path: str, value: str) -> Evidence:
    """Point at a path of an object, and say what was seen there in words."""
    return Evidence(source=EvidenceSource.OBJECT, pointer=f"{view.ref}#{path}", value=value[:LONGEST])


def told(event: Event) -> Evidence:
    """Point at a Kubernetes event."""
    return Evidence(
        source=EvidenceSource.EVENT, pointer=str(event.ref), value=f"{event.reason}: {event.message}"[:LONGEST]
    )


def measured(series: str, value: str) -> Evidence:
    """Point at a series of the metrics."""
    return Evidence(source=EvidenceSource.METRIC, pointer=series, value=value)


def heard(pod: View, container: str, line: str) -> Evidence:
    """Point at a line of a container's log."""
    return Evidence(source=EvidenceSource.LOG, pointer=f"{pod.ref}/{container}", value=shown_line(line))


def changed(view: View, edit: Edit) -> Evidence:
    """Point at one difference between an object as it is and as an earlier revision had it."""
    now, earlier = shown_slot(edit.path, edit.before), shown_slot(edit.path, edit.after)
    return seen(view, edit.path, f"{now} (earlier: {earlier})")
