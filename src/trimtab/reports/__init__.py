"""Pages that need nothing else (pictures inline, no script), and results in other tools' formats."""

from trimtab.reports.diagnosis import diagnosis_page
from trimtab.reports.drift import drift_page
from trimtab.reports.evidently import evidently_report
from trimtab.reports.page import write_text

__all__ = ["diagnosis_page", "drift_page", "evidently_report", "write_text"]
