from array import array

class _Ffi:
    def from_buffer(self, cdecl: str, buffer: array[int], *, require_writable: bool) -> object: ...

class _Lib:
    def nets_parse4(self, text: bytes, size: int, room: object, /) -> int: ...

ffi: _Ffi
lib: _Lib
