"""The documentation names what the code says."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
CODE = re.compile(r'(?:Reason\(|code=|Fault\()\s*"([A-Z][A-Za-z]+)"')


def test_every_reason_code_is_explained() -> None:
    """At three in the morning somebody looks a code up."""
    explained = set(re.findall(r"`([A-Z][A-Za-z]+)`", (ROOT / "docs" / "reasons.md").read_text()))
    used = {code for path in (ROOT / "src").rglob("*.py") for code in CODE.findall(path.read_text())}
    assert len(used) > 10
    assert used <= explained, sorted(used - explained)


def test_links_in_the_documentation_lead_somewhere() -> None:
    """A page was moved."""
    for page in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
