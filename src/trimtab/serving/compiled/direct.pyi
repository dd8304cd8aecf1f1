from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from trimtab.serving.compiled.forest import Forest

LINKS: dict[str, int]
WIDTH_MAX: int
Columns = tuple[
    npt.NDArray[np.bytes_],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.float64],
    npt.NDArray[np.int8],
    npt.NDArray[np.float64],
]

class Version:
    slot: Any
    classes: tuple[Any, ...]
    def __init__(
        self,
        slot: Any,
        forest: Forest,
        link: str,
        base: float,
        width: int,
        classes: tuple[Any, ...],
        templates: tuple[tuple[bytes, bytes, bytes, bytes], ...],
    ) -> None: ...

class Direct:
    def __init__(
        self,
        live: Any,
        around: Callable[[bytes, int], tuple[bool, bytes, bool]],
        encode: Callable[[Any], bytes],
        clock: Callable[[], float],
        record: Callable[[Version, int, Columns], None],
        soon: Callable[[Callable[[], None]], None],
        tag: str,
        inline_bytes: int,
    ) -> None: ...
    def know(self, url: bytes, deployment: Any, only: Version | None, versions: dict[int, Version]) -> None: ...
    def take(self, request: Any) -> bytes | None: ...
    def close(self) -> None: ...
