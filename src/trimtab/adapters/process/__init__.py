"""Jobs as processes of this machine."""

from trimtab.adapters.process.jobs import ProcessJobs, read_spec, write_result

__all__ = ["ProcessJobs", "read_spec", "write_result"]
