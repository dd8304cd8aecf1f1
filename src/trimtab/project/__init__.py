"""The project file ``trimtab.yaml``: its settings, how it is read, and what ``trimtab init`` writes.

``settings`` has the models, ``load`` reads a file and reports all its problems, ``check`` compares it with the data.
"""
