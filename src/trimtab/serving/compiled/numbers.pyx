# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
"""A JSON array of numbers as doubles, without a Python object for each.

Numbers follow RFC 8259, are rounded correctly (as ``float()`` does), and anything else in the array (null, a nested
array, an infinity) ends it: the caller then reads the text in the general way.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    static const double trimtab_tens[] = {1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13,
        1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

    /* digits * 10^exponent, correctly rounded; 0 where these two quick ways cannot say. */
    static int trimtab_decimal(uint64_t digits, int exponent, double *out) {
        if (digits == 0) { *out = 0.0; return 1; }
        if (digits <= (1ULL << 53) && exponent >= -22 && exponent <= 22) {
            /* both factors are exact, so one operation rounds once (Clinger 1990) */
            *out = exponent < 0 ? (double) digits / trimtab_tens[-exponent] : (double) digits * trimtab_tens[exponent];
            return 1;
        }
    #ifdef __SIZEOF_INT128__
        if (exponent < 0 && exponent >= -19) {
            /* a quotient of 63 bits or more with its remainder as the last bit: rounded once, by the conversion */
            uint64_t ten = 1;
            for (int i = 0; i < -exponent; i++) ten *= 10;
            int shift = 63 + (64 - __builtin_clzll(ten)) - (64 - __builtin_clzll(digits));
            if (shift < 0) return 0;
            unsigned __int128 scaled = (unsigned __int128) digits << shift;
            uint64_t quotient = (uint64_t) (scaled / ten);
            quotient |= (scaled % ten) != 0;
            *out = ldexp((double) quotient, -shift);
            return 1;
        }
    #endif
        return 0;
    }
    """
    bint trimtab_decimal(uint64_t digits, int exponent, double* out) noexcept nogil

cdef extern from "Python.h":
    double PyOS_string_to_double(const char* text, char** end, object overflow) except? -1.0


cdef inline bint is_digit(char c) noexcept nogil:
    return c >= c'0' and c <= c'9'


cdef const char* number(const char* at, double* out) except? NULL:
    """Read one number; where it ends, or ``at`` itself where there is none. The text ends with a zero byte."""
    cdef const char* start = at
    cdef bint negative = at[0] == c'-', exact
    cdef uint64_t digits = 0
    cdef int count = 0, exponent = 0, written = 0
    cdef bint falls
    cdef char* end
    if negative:
        at += 1
    if at[0] == c'0':
        at += 1
        if is_digit(at[0]):
            return start
    elif not is_digit(at[0]):
        return start
    while is_digit(at[0]):
        if count < 19:
            digits = digits * 10 + <uint64_t> (at[0] - c'0')
            count += digits != 0
        else:
            count = 20
        at += 1
    if at[0] == c'.':
        at += 1
        if not is_digit(at[0]):
            return start
        while is_digit(at[0]):
            if count < 19:
                digits = digits * 10 + <uint64_t> (at[0] - c'0')
                count += digits != 0
                exponent -= 1
            else:
                count = 20
            at += 1
    if at[0] == c'e' or at[0] == c'E':
        at += 1
        falls = at[0] == c'-'
        if falls or at[0] == c'+':
            at += 1
        if not is_digit(at[0]):
            return start
        while is_digit(at[0]):
            if written < 10000:
                written = written * 10 + (at[0] - c'0')
            at += 1
        exponent += -written if falls else written
    if count > 19 or not trimtab_decimal(digits, exponent, out):
        out[0] = PyOS_string_to_double(start, &end, OverflowError)
        return at
    if negative:
        out[0] = -out[0]
    return at


cdef inline const char* after_space(const char* at) noexcept nogil:
    while at[0] == c' ' or at[0] == c'\n' or at[0] == c'\t' or at[0] == c'\r':
        at += 1
    return at


cdef bint fill_row(bytes text, Py_ssize_t start, Py_ssize_t width, double* out, Py_ssize_t* begin, Py_ssize_t* end) except -1:
    """``read_row`` into memory that has room for ``width`` numbers; whether there is such an array."""
    if start < 0 or start > PyBytes_GET_SIZE(text) or width < 1:
        return False
    cdef const char* origin = PyBytes_AS_STRING(text)
    cdef const char* at = after_space(origin + start)
    cdef const char* behind
    cdef Py_ssize_t index
    if at[0] != c':':
        return False
    at = after_space(at + 1)
    if at[0] != c'[':
        return False
    at += 1
    begin[0] = at - origin
    for index in range(width):
        at = after_space(at)
        try:
            behind = number(at, out + index)
        except (OverflowError, ValueError):
            return False
        if behind == at:
            return False
        at = after_space(behind)
        if at[0] != (c']' if index == width - 1 else c','):
            return False
        at += 1
    end[0] = at - 1 - origin
    return True


def read_row(bytes text, Py_ssize_t start, Py_ssize_t width):
    """The array of ``width`` numbers that is a key's value, where the key ends at ``start``.

    Returns:
        The numbers as doubles side by side, the position behind ``[`` and that of ``]``; None where there is no such
        array.
    """
    cdef Py_ssize_t begin = 0, end = 0
    packed = PyBytes_FromStringAndSize(NULL, max(width, 1) * <Py_ssize_t> sizeof(double))
    if not fill_row(text, start, width, <double*> PyBytes_AS_STRING(packed), &begin, &end):
        return None
    return packed, begin, end
