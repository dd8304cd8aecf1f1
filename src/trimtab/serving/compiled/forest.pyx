# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tree ensembles in float64, eight trees at a time.

A processor waits for each node before it knows the next one; eight walks side by side wait together. Nodes stand in
one array, the two ways on beside each other, so that a step is a comparison and an addition without a branch. A leaf
leads to itself (it compares with a minus infinity behind the row) and holds its number where others hold their
threshold: all walks of a group take as many steps as its deepest tree has levels, and end where the sum is read.
"""

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport INFINITY, floor
from libc.stdint cimport int32_t, uint8_t, uint64_t

cdef inline int32_t below(const Node* node, const double* row) noexcept nogil:
    return node.yes + <int32_t> (row[node.feature] > node.threshold)


cdef class Forest:
    """The sums of an ensemble's leaves. Immutable, and safe to use from several threads at once.

    Arrays are trusted: ``trimtab.serving.runtimes.trees`` has checked them.
    """

    def __cinit__(
        self,
        const double[::1] thresholds,
        const int32_t[::1] yes,
        const int32_t[::1] features,
        const uint8_t[::1] missing_yes,
        const uint8_t[::1] kinds,
        const uint64_t[::1] words,
        const double[:, ::1] leaves,
        const int32_t[::1] roots,
        const int32_t[::1] targets,
        const int32_t[::1] depths,
        int32_t width,
        int32_t outputs,
        bint single,
    ):
        cdef Py_ssize_t n = thresholds.shape[0], trees = roots.shape[0], i, k
        cdef Py_ssize_t per_leaf = leaves.shape[1]
        self.nodes = <Node*> PyMem_Malloc(n * sizeof(Node))
        self.leaves = <double*> PyMem_Malloc(n * per_leaf * sizeof(double))
        self.roots = <int32_t*> PyMem_Malloc(trees * sizeof(int32_t))
        self.targets = <int32_t*> PyMem_Malloc(trees * sizeof(int32_t))
        self.depths = <int32_t*> PyMem_Malloc((trees // LANES) * sizeof(int32_t))
        self.missing_yes = <uint8_t*> PyMem_Malloc(n)
        self.kinds = <uint8_t*> PyMem_Malloc(n)
        self.words = <uint64_t*> PyMem_Malloc(max(1, words.shape[0]) * sizeof(uint64_t))
        if not (self.nodes and self.leaves and self.roots and self.targets and self.depths):
            raise MemoryError
        if not (self.missing_yes and self.kinds and self.words):
            raise MemoryError
        self.sets = False
        for i in range(n):
            self.nodes[i].threshold = thresholds[i]
            self.nodes[i].yes = yes[i]
            self.nodes[i].feature = features[i]
            if yes[i] == i:
                # compared with minus infinity it leads to itself, whatever its threshold: room for the leaf's number
                self.nodes[i].feature = width
                self.nodes[i].threshold = leaves[i, 0]
            self.missing_yes[i] = missing_yes[i]
            self.kinds[i] = kinds[i]
            if kinds[i] == SET:
                self.sets = True
            for k in range(per_leaf):
                self.leaves[i * per_leaf + k] = leaves[i, k]
        for i in range(words.shape[0]):
            self.words[i] = words[i]
        for i in range(trees):
            self.roots[i] = roots[i]
            self.targets[i] = targets[i]
        for i in range(trees // LANES):
            self.depths[i] = depths[i]
        self.groups = trees // LANES
        self.width = width
        self.outputs = outputs
        self.vectors = per_leaf > 1
        self.single = single

    def __dealloc__(self):
        PyMem_Free(self.nodes)
        PyMem_Free(self.leaves)
        PyMem_Free(self.roots)
        PyMem_Free(self.targets)
        PyMem_Free(self.depths)
        PyMem_Free(self.missing_yes)
        PyMem_Free(self.kinds)
        PyMem_Free(self.words)

    def rows(self, const double[:, ::1] matrix):
        """(n, width) to (n, outputs)."""
        if matrix.shape[1] != self.width:
            raise ValueError(f"rows have {matrix.shape[1]} numbers, the trees take {self.width}")
        cdef Py_ssize_t n = matrix.shape[0], i
        found = np.empty((n, self.outputs))
        cdef double[:, ::1] out = found
        cdef double* scratch = <double*> PyMem_Malloc((self.width + 1) * sizeof(double))
        if not scratch:
            raise MemoryError
        with nogil:
            for i in range(n):
                self.score(&matrix[i, 0], scratch, &out[i, 0])
        PyMem_Free(scratch)
        return found

    def row(self, bytes packed):
        """One row of ``width`` doubles side by side to the list of its outputs."""
        if PyBytes_GET_SIZE(packed) != self.width * <Py_ssize_t> sizeof(double) or self.width > STACK or self.outputs > STACK:
            matrix = np.frombuffer(packed).reshape(1, -1)
            return self.rows(matrix)[0].tolist()
        cdef double[STACK + 1] scratch
        cdef double[STACK] out
        cdef int32_t k
        self.score(<const double*> PyBytes_AS_STRING(packed), scratch, out)
        if self.outputs == 1:
            return [out[0]]
        return [out[k] for k in range(self.outputs)]

    cdef void score(self, const double* given, double* scratch, double* out) noexcept nogil:
        """``scratch`` has room for a row and one number more, ``out`` for the outputs."""
        cdef int32_t k
        cdef bint missing = False
        for k in range(self.width):
            missing |= given[k] != given[k]
            scratch[k] = <double> (<float> given[k]) if self.single else given[k]
        scratch[self.width] = -INFINITY
        for k in range(self.outputs):
            out[k] = 0.0
        if missing or self.sets:
            self.walk_any(scratch, out)
        else:
            self.walk(scratch, out)

    cdef void walk(self, const double* row, double* out) noexcept nogil:
        """Thresholds only, no missing value."""
        cdef int32_t at[LANES]
        cdef int32_t a, b, c, d, e, f, g, h, step
        cdef Py_ssize_t group
        cdef const Node* nodes = self.nodes
        cdef const int32_t* root = self.roots
        for group in range(self.groups):
            a, b, c, d = root[0], root[1], root[2], root[3]
            e, f, g, h = root[4], root[5], root[6], root[7]
            for step in range(self.depths[group]):
                a = below(nodes + a, row)
                b = below(nodes + b, row)
                c = below(nodes + c, row)
                d = below(nodes + d, row)
                e = below(nodes + e, row)
                f = below(nodes + f, row)
                g = below(nodes + g, row)
                h = below(nodes + h, row)
            at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7] = a, b, c, d, e, f, g, h
            self.collect(group, at, out)
            root += LANES

    cdef void walk_any(self, const double* row, double* out) noexcept nogil:
        """Also sets of categories, and missing values."""
        cdef int32_t at[LANES]
        cdef int32_t lane, step
        cdef Py_ssize_t group
        for group in range(self.groups):
            for lane in range(LANES):
                at[lane] = self.roots[group * LANES + lane]
            for step in range(self.depths[group]):
                for lane in range(LANES):
                    at[lane] = self.after(at[lane], row)
            self.collect(group, at, out)

    cdef int32_t after(self, int32_t index, const double* row) noexcept nogil:
        cdef const Node* node = self.nodes + index
        cdef double x = row[node.feature]
        cdef Py_ssize_t first, count, code
        if x != x:
            return node.yes + (not self.missing_yes[index])
        if self.kinds[index] == NUMBER:
            return node.yes + <int32_t> (x > node.threshold)
        first = <Py_ssize_t> node.threshold
        count = <Py_ssize_t> self.words[first]
        if x < 0 or x >= 64 * count or x != floor(x):
            return node.yes + 1
        code = <Py_ssize_t> x
        return node.yes + (not (self.words[first + 1 + (code >> 6)] >> (code & 63)) & 1)

    cdef void collect(self, Py_ssize_t group, const int32_t* at, double* out) noexcept nogil:
        """Add the leaves that a group's walks have reached."""
        cdef int32_t lane, k
        cdef const int32_t* targets = self.targets + group * LANES
        if self.vectors:
            for lane in range(LANES):
                for k in range(self.outputs):
                    out[k] += self.leaves[<Py_ssize_t> at[lane] * self.outputs + k]
        elif self.outputs == 1:
            for lane in range(LANES):
                out[0] += self.nodes[at[lane]].threshold
        else:
            for lane in range(LANES):
                out[targets[lane]] += self.nodes[at[lane]].threshold
