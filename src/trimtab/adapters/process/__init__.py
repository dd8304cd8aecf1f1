"""Jobs as processes of this machine."""

from trimtab.adapters.process.jobs import ProcessJobs, note_pid, read_spec, write_result

__all__ = ["ProcessJobs", "note_pid", "read_spec", "write_result"]
