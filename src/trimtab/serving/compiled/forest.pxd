# cython: language_level=3
from libc.stdint cimport int32_t, uint8_t, uint64_t

cdef enum:
    LANES = 8
    NUMBER = 0
    SET = 1
    STACK = 512  # widest row that is held on the stack


cdef struct Node:
    double threshold
    int32_t yes      # where a value goes that is not above the threshold; all others to the node after it
    int32_t feature


cdef class Forest:
    cdef Node* nodes
    cdef double* leaves
    cdef int32_t* roots
    cdef int32_t* targets
    cdef int32_t* depths
    cdef uint8_t* missing_yes
    cdef uint8_t* kinds
    cdef uint64_t* words
    cdef Py_ssize_t groups
    cdef int32_t width
    cdef int32_t outputs
    cdef bint sets
    cdef bint single
    cdef bint vectors

    cdef void score(self, const double* given, double* scratch, double* out) noexcept nogil
    cdef void walk(self, const double* row, double* out) noexcept nogil
    cdef void walk_any(self, const double* row, double* out) noexcept nogil
    cdef int32_t after(self, int32_t index, const double* row) noexcept nogil
    cdef void collect(self, Py_ssize_t group, const int32_t* at, double* out) noexcept nogil
