import numpy as np
import numpy.typing as npt

class Forest:
    def __init__(
        self,
        thresholds: npt.NDArray[np.float64],
        yes: npt.NDArray[np.int32],
        features: npt.NDArray[np.int32],
        missing_yes: npt.NDArray[np.uint8],
        kinds: npt.NDArray[np.uint8],
        words: npt.NDArray[np.uint64],
        leaves: npt.NDArray[np.float64],
        roots: npt.NDArray[np.int32],
        targets: npt.NDArray[np.int32],
        depths: npt.NDArray[np.int32],
        width: int,
        outputs: int,
        single: bool,
    ) -> None: ...
    def rows(self, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]: ...
    def row(self, packed: bytes) -> list[float]: ...
