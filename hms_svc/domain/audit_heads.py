"""Published heads of the audit chain: what they prove, how they are signed, and what contradicts them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from hms_svc.domain.event import AUDIT_SEALED, Event
from hms_svc.domain.ids import event_id
from hms_svc.domain.plain_text import plural
from hms_svc.domain.strict_json import encode
from hms_svc.domain.timestamps import to_rfc3339
from hms_svc.domain.views import AuditFault

SUBJECT: Final = "audit"
DAY_MS: Final = 86_400_000
DAYS_KEPT: Final = 90
DOUBTS_KEPT: Final = 16
_COMPARE: Final = "compare the database with a backup"
_ACCEPT: Final = "if the record is right as it is, accept it: hms-svc audit accept --reason WHY"
_SAME_KEY: Final = "set the same audit_key in every process"


class AuditHead(msgspec.Struct, frozen=True, kw_only=True):
    """The end of the chain as it was published at `at` (Unix ms): the link and digest of its last row.

    Link 0 with an empty digest is a chain without rows. `unproven` counts the first rows
    for which no head had been kept when this series of heads began: nothing proves their
    content before that time. `signature` is made by `HeadSigner`, empty without a key.
    """

    link: int
    digest: str
    at: int
    unproven: int = 0
    signature: str = ""

    @property
    def day(self) -> int:
        """The day of publication, in days since 1970 (UTC)."""
        return self.at // DAY_MS


class Doubt(msgspec.Struct, frozen=True, kw_only=True):
    """A report that a worker found, at `at` (Unix ms), a chain that does not contain the kept head.

    `link` and `digest` are the kept head's. The chain had `found_digest` at
    `found_link`: at the same link, or at its end if it was shorter.
    """

    at: int
    link: int
    digest: str
    found_link: int
    found_digest: str


class KeptHeads(msgspec.Struct, frozen=True, kw_only=True):
    """What a broker keeps: the newest head, the last head of each earlier day, and doubts.

    `daily` is sorted by day. `unreadable` counts entries that hms-svc did not write.
    """

    newest: AuditHead | None = None
    daily: tuple[AuditHead, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    unreadable: int = 0

    @property
    def all(self) -> tuple[AuditHead, ...]:
        """Every head, the newest last."""
        return self.daily if self.newest is None else (*self.daily, self.newest)


class SealedChain(msgspec.Struct, frozen=True, kw_only=True):
    """The chain in the database: link and digest of its last row, and those that were asked for.

    An empty chain ends at link 0 with an empty digest. `faults` are those of
    its rows, if they were walked.
    """

    link: int
    digest: str
    digests: Mapping[int, str]
    faults: tuple[AuditFault, ...] = ()

    def contains(self, head: AuditHead) -> bool:
        """Return whether the row at the head's link has the head's digest. Its link must have been asked for."""
        return self.digest_at(head.link) == head.digest

    def digest_at(self, link: int) -> str | None:
        """Return the digest at a link that was asked for; None if there is no such row."""
        return self.digests.get(link) if link else ""


class HeadSigner(msgspec.Struct, frozen=True):
    """Sign heads of one installation: HMAC-SHA256 in hex under `key`; without a key nothing is signed.

    The signed text is six lines, joined by line feeds: `hms-svc audit head`,
    namespace, link, digest, time as in the event, number of unproven rows.
    """

    namespace: str
    key: str = ""

    def sign(self, head: AuditHead) -> AuditHead:
        """Return the head with its signature."""
        return msgspec.structs.replace(head, signature=self._signature(head) if self.key else "")

    def has_signed(self, head: AuditHead) -> bool:
        """Return whether the signature is this key's."""
        return hmac.compare_digest(head.signature.encode(), self._signature(head).encode())

    def _signature(self, head: AuditHead) -> str:
        fields = (head.link, head.digest, to_rfc3339(head.at), head.unproven)
        text = "\n".join(("hms-svc audit head", self.namespace, *map(str, fields)))
        return hmac.new(self.key.encode(), text.encode(), hashlib.sha256).hexdigest()


def event_of(head: AuditHead, key: str) -> Event:
    """Return the event that announces a head; the same `key` makes the same event."""
    payload: dict[str, object] = {
        "link": head.link,
        "digest": head.digest,
        "unproven": head.unproven,
    }
    if head.signature:
        payload["signature"] = head.signature
    return Event(
        id=event_id(SUBJECT, AUDIT_SEALED, key),
        type=AUDIT_SEALED,
        subject=SUBJECT,
        at=head.at,
        data=encode(payload),
    )


class _HeadData(msgspec.Struct, frozen=True):
    link: int
    digest: str
    unproven: int = 0
    signature: str = ""


_read_data: Final = msgspec.json.Decoder(_HeadData).decode


def head_of(event: Event | None) -> AuditHead | None:
    """Read the head that an event announces; None if it announces none."""
    if event is None or event.type != AUDIT_SEALED or event.subject != SUBJECT:
        return None
    try:
        payload = _read_data(event.data)
    except msgspec.MsgspecError:
        return None
    return AuditHead(
        link=payload.link,
        digest=payload.digest,
        at=event.at,
        unproven=payload.unproven,
        signature=payload.signature,
    )


def doubt_about(head: AuditHead, chain: SealedChain, now: int) -> Doubt:
    """Return the evidence that a chain does not contain a head."""
    at_link = chain.digest_at(head.link)
    found = (chain.link, chain.digest) if at_link is None else (head.link, at_link)
    return Doubt(
        at=now,
        link=head.link,
        digest=head.digest,
        found_link=found[0],
        found_digest=found[1],
    )


def objections(kept: KeptHeads, chain: SealedChain, signer: HeadSigner) -> list[AuditFault]:
    """Return why no head may replace the kept ones now; empty if one may.

    The digest at the newest head's link must have been asked for.
    """
    newest = kept.newest
    if newest is None:
        return _unreadable(kept)
    found = [*_unreadable(kept), *_outside(chain, (newest,))]
    if newest.signature and not signer.key:
        text = f"the kept heads are signed, and this process has no audit_key: {_SAME_KEY}"
        found.append(AuditFault(newest.link, "no key", text))
    return found + list(_signatures(kept, signer))


def judge(kept: KeptHeads, chain: SealedChain, signer: HeadSigner) -> list[AuditFault]:
    """Compare a chain, which has rows, with the kept heads, and return everything that contradicts it.

    The digests at the links of all heads must have been asked for.
    """
    found = [*_unreadable(kept), *_doubts(kept)]
    if kept.newest is None:
        return found or [AuditFault(chain.link, "no head", NO_HEAD)]
    return [
        *found,
        *_outside(chain, kept.all),
        *_unproven(kept.newest),
        *(_signatures(kept, signer) if signer.key else ()),
    ]


NO_HEAD: Final = (
    "no head of the chain is kept at the broker, so nothing outside the database proves these rows: "
    "run hms-svc serve, which publishes one within a minute, then verify again"
)


def _unreadable(kept: KeptHeads) -> list[AuditFault]:
    text = f"{plural(kept.unreadable, 'kept head')} cannot be read because something overwrote them; {_COMPARE}; {_ACCEPT}"
    return [AuditFault(0, "unreadable", text)] if kept.unreadable else []


def _doubts(kept: KeptHeads) -> Iterator[AuditFault]:
    for doubt in kept.doubts:
        was = (
            f"a digest {doubt.found_digest:.12} in place of {doubt.digest:.12}"
            if doubt.found_link == doubt.link
            else f"an end at link {doubt.found_link}"
        )
        text = (
            f"at {to_rfc3339(doubt.at)} a worker found {was} in its database; another database, or a "
            f"record that was rewritten for a while: {_COMPARE}; {_ACCEPT}"
        )
        yield AuditFault(doubt.link, "contradicted", text)


def _outside(chain: SealedChain, heads: Iterable[AuditHead]) -> Iterator[AuditFault]:
    wrong = [head for head in heads if not chain.contains(head)]
    beyond = [head for head in wrong if chain.digest_at(head.link) is None]
    differ = [head for head in wrong if chain.digest_at(head.link) is not None]
    held = max((head.link for head in heads if head not in wrong), default=0)
    as_published = f"up to link {held} the record is as published" if held else "no kept head holds"
    if beyond:
        last = beyond[-1]
        short = f"the chain ends at link {chain.link}: its end was cut off"
        text = (
            f"{short if chain.link < last.link else 'the row is gone'}, and a head with it was published "
            f"at {to_rfc3339(last.at)}; {as_published}; {_COMPARE}; {_ACCEPT}"
        )
        yield AuditFault(last.link, "truncated", text)
    if differ:
        first = differ[0]
        text = (
            f"its digest is not the one published at {to_rfc3339(first.at)} ({plural(len(differ), 'head')} wrong): "
            f"rows up to this one were rewritten; {as_published}; {_COMPARE}; {_ACCEPT}"
        )
        yield AuditFault(first.link, "rewritten", text)


def _unproven(newest: AuditHead) -> Iterator[AuditFault]:
    if newest.unproven:
        text = (
            f"links 1 to {newest.unproven} existed before the first head that this broker keeps, so nothing "
            f"proves their content until then (a new or emptied broker): {_COMPARE}; {_ACCEPT}"
        )
        yield AuditFault(newest.unproven, "unproven", text)


def _signatures(kept: KeptHeads, signer: HeadSigner) -> Iterator[AuditFault]:
    """Find heads without the right signature; those before the first signed one need none."""
    if not signer.key:
        return
    heads = kept.all
    first = next((n for n, head in enumerate(heads) if head.signature), len(heads))
    forged = [head for head in heads[first:] if head.signature and not signer.has_signed(head)]
    unsigned = [head for head in heads[first:] if not head.signature]
    if forged:
        text = (
            f"the signature of the head published at {to_rfc3339(forged[0].at)} is not this audit_key's "
            f"({plural(len(forged), 'head')}): {_SAME_KEY}; after a change of the key {_COMPARE}, then "
            "hms-svc audit accept --reason WHY"
        )
        yield AuditFault(forged[0].link, "wrong signature", text)
    if unsigned:
        text = (
            f"the head published at {to_rfc3339(unsigned[0].at)} is not signed, and one before it was "
            f"({plural(len(unsigned), 'head')}): a process without the key, or a forger; {_COMPARE}; {_ACCEPT}"
        )
        yield AuditFault(unsigned[0].link, "unsigned", text)
    if heads and first == len(heads):
        text = (
            f"an audit_key is set, and no kept head is signed: {_COMPARE}; then "
            "hms-svc audit accept --reason WHY, which signs the head"
        )
        yield AuditFault(heads[-1].link, "not yet signed", text)
