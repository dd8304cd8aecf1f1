"""Two loops in Cython, compiled when Trimtab is installed: trees from root to leaf, and numbers out of JSON text.

Where there is no C compiler (or ``TRIMTAB_PURE=1`` was set) they are missing: importing ``forest`` or ``numbers``
fails, and who uses them goes its slower way.
"""
