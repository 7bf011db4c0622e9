"""Not a mutant itself: alters one Lua script of the process that imports it."""

from __future__ import annotations

import hashlib

from hms_svc.brokers.redis import link, scripts
from hms_svc.brokers.redis.constants import with_constants


def alter(name: str, old: str, new: str) -> None:
    """Run a script with `new` wherever `old` stands in it; both may name constants."""
    original = scripts.script(name)
    text = original.text.replace(with_constants(old), with_constants(new))
    assert text != original.text, f"{name}.lua is written otherwise now: mutate it anew"
    altered = scripts.Script(
        name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    )

    def script(wanted: str) -> scripts.Script:
        return altered if wanted == name else scripts.script(wanted)

    vars(link)["script"] = script
