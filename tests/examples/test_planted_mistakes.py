"""Mistakes planted in a service that types do not show: they are refused at import."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from hms_svc.domain.errors import BadInput, BadSetting
from hms_svc.sdk.apps import check_injection


def test_what_types_do_not_show_is_refused_when_the_module_is_imported() -> None:
    mistakes = import_module("tests.data.permit_mistakes")
    for declare, said in mistakes.refused.items():
        with pytest.raises((BadInput, BadSetting, TypeError), match=re.escape(said)):
            declare()
    with pytest.raises(BadSetting, match=r"engine"):
        check_injection(mistakes.registry, ["permit_mistakes:registry"])
