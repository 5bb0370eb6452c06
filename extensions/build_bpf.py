"""Writes the C source of the extension module (run by meson)."""

import sys

from cffi import FFI

ffi = FFI()
ffi.cdef("int tortie_bpf_version(void);")
ffi.set_source("_bpf", "int tortie_bpf_version(void);")
ffi.emit_c_code(sys.argv[1])
