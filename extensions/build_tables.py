"""Writes the C source of the extension module `_tables` (run by meson)."""

import re
import sys
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).parent
SHARED = HERE.parent / "bpf/include/tortie"


def declarations() -> str:
    """What Python sees: the enums that the programs have too, the record types of tables.h and everything in api.h,
    without preprocessor lines."""
    shared = "".join((SHARED / name).read_text() for name in ("reasons.h", "decision.h"))
    enums = re.findall(r"^enum \w+ \{.*?\};", shared, re.M | re.S)
    records = re.findall(
        r"^struct (?:term|net4|net6|block) \{.*?^\};|^struct (?:net4|net6) \{.*?\};", tables_h(), re.M | re.S
    )
    api = "\n".join(line for line in (HERE / "api.h").read_text().splitlines() if not line.startswith("#"))
    return (
        "typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;\nstruct tables;\n"
        + "\n".join([*enums, *records]).replace("[LISTS]", "[4]")
        + api
    )


def tables_h() -> str:
    """The text of tables.h."""
    return (HERE / "tables.h").read_text()


ffi = FFI()
ffi.cdef(declarations())
ffi.set_source("_tables", '#include "api.h"')
ffi.emit_c_code(sys.argv[1])
