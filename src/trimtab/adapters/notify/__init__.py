"""Messages to people: through Apprise's services, or into a file."""

from trimtab.adapters.notify.apprise import AppriseNotifier
from trimtab.adapters.notify.log import LogNotifier

__all__ = ["AppriseNotifier", "LogNotifier"]
