"""Writes the C source of the extension module that reads networks (run by meson)."""

import sys
from pathlib import Path

from cffi import FFI

header = Path(__file__).with_name("nets.h").read_text()

ffi = FFI()
ffi.cdef(header)
ffi.set_source("_nets", '#include <stddef.h>\n#include <stdint.h>\n#include "nets.h"\n')
ffi.emit_c_code(sys.argv[1])
