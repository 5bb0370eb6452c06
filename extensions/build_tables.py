"""Writes the C source of the extension module (run by meson)."""

import sys

from cffi import FFI

ffi = FFI()
ffi.cdef("int tortie_tables_version(void);")
ffi.set_source("_tables", "int tortie_tables_version(void);")
ffi.emit_c_code(sys.argv[1])
