"""Turns incoming envelopes of other agencies into jobs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hms_svc.domain.agencies import Agencies, Sender
from hms_svc.domain.envelope_modes import BATCH, STRUCTURED, is_binary, read_envelopes
from hms_svc.domain.envelopes import Envelope
from hms_svc.domain.errors import IdConflict, NotSigned
from hms_svc.domain.job import Job
from hms_svc.domain.signatures import check_signature
from hms_svc.domain.strict_json import is_same_json
from hms_svc.ports.clock import Clock


class EnvelopeIntake:
    """Receives requests with envelopes, and returns the jobs that they become."""

    def __init__(self, agencies: Agencies, clock: Clock) -> None:
        self._agencies = agencies
        self._clock = clock

    def receive(self, headers: Mapping[str, str], body: bytes) -> list[Job]:
        """Return one job for each distinct envelope of a request; header names are lower-case.

        An id that the broker then answers with CONFLICT came before with other data. Raises
        BadInput (IdConflict if one batch contradicts itself), and NotSigned, also for
        binary mode of a sender that signs: a signature covers the body, but not headers.
        """
        now_ms = self._clock.now_ms()
        envelopes = read_envelopes(headers, body)
        senders = (self._agencies.sender_of(envelope.source) for envelope in envelopes)
        for sender in {sender.name: sender for sender in senders if sender}.values():
            _check_covered(sender, headers)
            check_signature(sender, headers, body, now_ms)
        return _distinct((envelope, self._job(envelope, now_ms)) for envelope in envelopes)

    def _job(self, envelope: Envelope, now_ms: int) -> Job:
        type = self._agencies.job_type_of(envelope.source, envelope.type)
        if type is None:
            return envelope.to_unmapped_job(now_ms)
        return envelope.to_job(type, now_ms)


def _check_covered(sender: Sender, headers: Mapping[str, str]) -> None:
    if sender.secrets and is_binary(headers):
        raise NotSigned(
            f"binary mode: the attributes are in headers, which no signature covers; sender "
            f"{sender.name} signs, so it must use structured ({STRUCTURED}) or batch mode ({BATCH})"
        )


def _distinct(made: Iterable[tuple[Envelope, Job]]) -> list[Job]:
    found: dict[str, Job] = {}
    for envelope, job in made:
        other = found.setdefault(job.id, job)
        if other is job:
            continue
        if other.type != job.type or not is_same_json(other.data, job.data):
            raise IdConflict(
                f"id {envelope.id!r:.80} of source {envelope.source!r:.80} occurs twice in the "
                "batch, with other data"
            )
    return list(found.values())
