# cython: language_level=3
cdef bint fill_row(bytes text, Py_ssize_t start, Py_ssize_t width, double* out, Py_ssize_t* begin, Py_ssize_t* end) except -1
