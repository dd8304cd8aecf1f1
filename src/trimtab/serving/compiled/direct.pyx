# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The shortest way of a request: a flat row of numbers to a version whose trees are compiled.

Numbers go from the text of the request through the trees into the record without becoming Python objects. Whatever is
not of that form, or has no answer, is handed back (None), and nothing of it is recorded: the general way answers it.
What is said here must be what the general way says; ``tests/serving/test_direct.py`` holds both together.
"""

from time import perf_counter

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport exp, fabs, isfinite
from libc.stdint cimport int8_t, int64_t, uint64_t
from libc.string cimport memcmp, memcpy

from trimtab.serving.compiled.forest cimport STACK, Forest
from trimtab.serving.compiled.numbers cimport fill_row

cdef enum:
    VALUE = 0
    SIGMOID = 1
    COMPLEMENT = 2
    ROWS_MAX = 256   # of a block
    PATHS_MAX = 64

LINKS = {"value": VALUE, "sigmoid": SIGMOID, "complement": COMPLEMENT}
WIDTH_MAX = STACK
DATA = b'"data"'
cdef bytes _DATA = DATA
cdef bytes _POST = b"POST"
cdef bytes _JSON = b"application/json"
cdef bytes _CONTENT_TYPE = b"content-type"
cdef bytes _CONTENT_ENCODING = b"content-encoding"
cdef bytes _HEAD_LENGTH = b"inference-header-content-length"
cdef char* _HEX = "0123456789abcdef"


cdef class Version:
    """How a version answers.

    ``templates``: by class (one for a regression) what stands before the request's id, before the prediction id, before
    the numbers and behind them.
    """

    cdef readonly object slot
    cdef readonly tuple classes
    cdef Forest forest
    cdef int link
    cdef double base
    cdef Py_ssize_t width
    cdef tuple templates

    def __init__(self, slot, Forest forest, str link, double base, Py_ssize_t width, tuple classes, tuple templates):
        if width > WIDTH_MAX or forest.outputs != 1:
            raise ValueError(f"{width} numbers to {forest.outputs} outputs are not for the short way")
        self.slot, self.forest, self.link, self.base = slot, forest, LINKS[link], base
        self.width, self.classes, self.templates = width, classes, templates


cdef class Direct:
    """Answers, and keeps what has to be recorded until ``close``.

    Args:
        live: has the deployment that is served as ``current``.
        around: a message whose numbers were taken out to (may be answered, its id as JSON or empty, whether it may be
            known again).
        encode: numbers to JSON.
        record: takes a version, a generation and columns (ids, arrivals, seconds, rows, class positions, answers).
        soon: has ``close`` called before long.
    """

    cdef object live, around, encode, clock, record, soon
    cdef dict known
    cdef bytes frame
    cdef Py_ssize_t frame_begin, frame_width
    cdef Py_ssize_t inline_bytes
    cdef int64_t ms
    cdef uint64_t count
    cdef bytes tag
    cdef char prefix[12]
    # the open block
    cdef Version version
    cdef object generation
    cdef Py_ssize_t rows
    cdef Py_ssize_t id_size
    cdef bytearray ids
    cdef double* times
    cdef double* seconds
    cdef double* answers
    cdef double* numbers
    cdef int8_t* positions
    cdef bint due

    def __cinit__(self):
        self.times = <double*> PyMem_Malloc(ROWS_MAX * sizeof(double))
        self.seconds = <double*> PyMem_Malloc(ROWS_MAX * sizeof(double))
        self.answers = <double*> PyMem_Malloc(ROWS_MAX * sizeof(double))
        self.positions = <int8_t*> PyMem_Malloc(ROWS_MAX)
        self.numbers = <double*> PyMem_Malloc(ROWS_MAX * WIDTH_MAX * sizeof(double))
        if not (self.times and self.seconds and self.answers and self.positions and self.numbers):
            raise MemoryError

    def __dealloc__(self):
        PyMem_Free(self.times)
        PyMem_Free(self.seconds)
        PyMem_Free(self.answers)
        PyMem_Free(self.positions)
        PyMem_Free(self.numbers)

    def __init__(self, live, around, encode, clock, record, soon, str tag, Py_ssize_t inline_bytes):
        self.live, self.around, self.encode = live, around, encode
        self.clock, self.record, self.soon = clock, record, soon
        self.known, self.frame, self.frame_begin, self.frame_width = {}, b"", -1, -1
        self.inline_bytes = inline_bytes
        self.tag = b"-" + tag.encode("ascii")
        self.id_size = 18 + len(self.tag)
        self.ids = bytearray(ROWS_MAX * self.id_size)

    def know(self, bytes url, deployment, Version only, dict versions):
        """Requests to this path are for ``only``, or for the one that the router chooses among ``versions``."""
        for other in [path for path, about in self.known.items() if about[0] is not deployment]:
            del self.known[other]  # what is served no more is held by nobody
        if len(self.known) >= PATHS_MAX:
            self.known.clear()
        self.known[url] = (deployment, only, versions)

    def take(self, request):
        """The answer's body, or None."""
        cdef tuple known = self.known.get(request.url)
        if known is None or known[0] is not self.live.current or request.method != _POST:
            return None
        cdef dict headers = request.headers
        cdef bytes body = request.body
        media = headers.get(_CONTENT_TYPE)
        if media is not None and media != _JSON:
            return None
        if _CONTENT_ENCODING in headers or _HEAD_LENGTH in headers or PyBytes_GET_SIZE(body) > self.inline_bytes:
            return None
        cdef double now = self.clock()
        cdef Version version
        self.next_id(now)
        if known[1] is not None:
            version = known[1]
        else:
            chosen = known[0].router.choose(self.current_id().decode("ascii"))
            version = known[2].get(chosen)
            if version is None:
                return None
        return self.answer(known[0], version, body, now, request.started)

    cdef answer(self, deployment, Version version, bytes body, double now, double started):
        cdef Py_ssize_t begin = 0, end = 0, position
        cdef double out = 0.0, first, second, small
        cdef double[STACK] row
        cdef double[STACK + 1] scratch
        cdef bytes identity = b"", frame, shown
        if not fill_row(body, body.find(_DATA) + 6, version.width, row, &begin, &end):
            return None
        if version.width != self.frame_width or not self.is_last_frame(body, begin, end):
            frame = body[:begin] + body[end:]
            fits, identity, again = self.around(frame, version.width)
            if not fits:
                return None
            if again:
                self.frame, self.frame_begin, self.frame_width = frame, begin, version.width
        version.forest.score(row, scratch, &out)
        out += version.base
        if not isfinite(out):
            return None
        position = 0
        if version.link == VALUE:
            second = out
            content = self.encode(second)
        else:
            if version.link == SIGMOID:
                small = exp(-fabs(out))
                second = 1.0 / (1.0 + small) if out >= 0 else small / (1.0 + small)
            else:
                second = out
            first = 1.0 - second
            position = second > first
            content = self.encode((first, second))
        shown = self.current_id()
        self.keep(deployment, version, shown, now, perf_counter() - started, row, position, second)
        return assembled(version.templates[position], identity, shown, content)

    cdef bint is_last_frame(self, bytes body, Py_ssize_t begin, Py_ssize_t end) noexcept:
        """Whether the message is the last one that may be known again but for its numbers."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(self.frame), tail = PyBytes_GET_SIZE(body) - end
        cdef const char* text = PyBytes_AS_STRING(body)
        cdef const char* frame = PyBytes_AS_STRING(self.frame)
        return (
            begin == self.frame_begin
            and tail == size - begin
            and memcmp(text, frame, begin) == 0
            and memcmp(text + end, frame + begin, tail) == 0
        )

    # --- ids ----------------------------------------------------------------------------------------------------------

    cdef void next_id(self, double now):
        """As ``scoring.ids.IdSource``: milliseconds that never go back, a counter, and the worker's own tag."""
        cdef int64_t ms = <int64_t> (now * 1000.0), left
        cdef int at
        if ms > self.ms:
            self.ms = ms
            for at in range(11, -1, -1):
                self.prefix[at] = _HEX[ms & 15]
                ms >>= 4
        self.count = (self.count + 1) & 0xFFFFFF

    cdef bytes current_id(self):
        cdef bytes found = PyBytes_FromStringAndSize(NULL, self.id_size)
        cdef char* to = PyBytes_AS_STRING(found)
        cdef uint64_t count = self.count
        cdef int at
        memcpy(to, self.prefix, 12)
        for at in range(17, 11, -1):
            to[at] = _HEX[count & 15]
            count >>= 4
        memcpy(to + 18, PyBytes_AS_STRING(self.tag), PyBytes_GET_SIZE(self.tag))
        return found

    # --- the record ---------------------------------------------------------------------------------------------------

    cdef keep(self, deployment, Version version, bytes identity, double now, double seconds, const double* row, Py_ssize_t position, double answer):
        cdef Py_ssize_t at, column
        generation = deployment.generation
        if version is not self.version or generation != self.generation or self.rows >= ROWS_MAX:
            self.close()
            self.version, self.generation = version, generation
        if not self.due:
            self.due = True
            self.soon(self.close)
        at = self.rows
        memcpy(<char*> self.ids + at * self.id_size, PyBytes_AS_STRING(identity), self.id_size)
        for column in range(version.width):
            self.numbers[column * ROWS_MAX + at] = row[column]
        self.times[at], self.seconds[at], self.answers[at], self.positions[at] = now, seconds, answer, position
        self.rows = at + 1

    def close(self):
        """Record what there is."""
        self.due = False
        cdef Py_ssize_t n = self.rows
        cdef Version version = self.version
        if not n:
            return
        self.rows = 0
        columns = (
            np.frombuffer(self.ids, f"S{self.id_size}", n).copy(),
            copied(self.times, n),
            copied(self.seconds, n),
            self.matrix(n, version.width),
            np.frombuffer(PyBytes_FromStringAndSize(<char*> self.positions, n), np.int8),
            copied(self.answers, n),
        )
        self.record(version, self.generation, columns)

    cdef matrix(self, Py_ssize_t n, Py_ssize_t width):
        """(n, width), each column in one piece: as the log will hold it."""
        cdef bytes content = PyBytes_FromStringAndSize(NULL, n * width * <Py_ssize_t> sizeof(double))
        cdef double* to = <double*> PyBytes_AS_STRING(content)
        cdef Py_ssize_t column
        for column in range(width):
            memcpy(to + column * n, self.numbers + column * ROWS_MAX, n * sizeof(double))
        return np.frombuffer(content).reshape(width, n).T


cdef copied(const double* values, Py_ssize_t n):
    return np.frombuffer(PyBytes_FromStringAndSize(<char*> values, n * <Py_ssize_t> sizeof(double)))


cdef bytes assembled(tuple template, bytes identity, bytes shown, bytes content):
    cdef bytes part
    cdef tuple parts = (template[0], identity, template[1], shown, template[2], content, template[3])
    cdef Py_ssize_t size = 0
    for part in parts:
        size += PyBytes_GET_SIZE(part)
    cdef bytes whole = PyBytes_FromStringAndSize(NULL, size)
    cdef char* to = PyBytes_AS_STRING(whole)
    for part in parts:
        memcpy(to, PyBytes_AS_STRING(part), PyBytes_GET_SIZE(part))
        to += PyBytes_GET_SIZE(part)
    return whole
