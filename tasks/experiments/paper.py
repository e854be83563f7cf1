"""The paper's own numbers, as its figures show them; accuracies in 0..1.

Read from the plotting scripts that the authors published (github.com/ZimingDai/ICDCS_ACME).
"""

from __future__ import annotations

from collections.abc import Mapping

FIG7A = {  # millions of parameters, accuracy on CIFAR-100
    "EfficientViT": (5.0, 0.8108),
    "MobileViT": (17.43, 0.6738),
    "Twins-SVT": (24.0, 0.8672),
    "DeViT": (23.0, 0.8798),
    "DeDeiTs": (23.9, 0.8934),
    "DeCCTs": (18.3, 0.8743),
}
FIG7A_OURS = 0.9234
FIG13A = {  # on Stanford Cars
    "EfficientViT": (12.4, 0.897),
    "MobileViT": (17.43, 0.8655),
    "ResMLP": (15.0, 0.846),
    "Twins-SVT": (24.0, 0.9108),
    "DeViT": (23.0, 0.8911),
    "DeDeiTs": (23.9, 0.9153),
    "DeCCTs": (18.3, 0.9067),
}
FIG13A_OURS = 0.9298

FIG7B = {  # by depth 12, 10, 8, 6, 4, 2 at width 1
    "searched": (0.9324, 0.9046, 0.8984, 0.8737, 0.7734, 0.6731),
    "cnn-project": (0.8991, 0.8840, 0.8323, 0.7935, 0.6545, 0.5570),
    "linear": (0.9054, 0.8947, 0.8681, 0.8240, 0.7386, 0.6047),
    "mixer": (0.9012, 0.8892, 0.8691, 0.8073, 0.6605, 0.5687),
    "mlp": (0.9038, 0.8933, 0.8733, 0.8202, 0.7082, 0.6014),
    "cnn-ignore": (0.8907, 0.8776, 0.8408, 0.7994, 0.6640, 0.5507),
    "cnn-add": (0.8923, 0.8778, 0.8232, 0.7714, 0.6494, 0.5645),
    "resmlp": (0.9044, 0.8923, 0.8712, 0.8141, 0.6900, 0.5674),
    "vit": (0.8972, 0.9015, 0.8703, 0.8178, 0.6856, 0.5774),
}
FIG13B = {  # the same on Stanford Cars
    "searched": (0.9219, 0.9063, 0.8527, 0.7557, 0.5992, 0.4189),
    "cnn-project": (0.6706, 0.6243, 0.5528, 0.4050, 0.1070, 0.0929),
    "linear": (0.8071, 0.7965, 0.7559, 0.6223, 0.3917, 0.2151),
    "mixer": (0.7456, 0.7235, 0.6196, 0.4679, 0.1979, 0.1291),
    "mlp": (0.7703, 0.7758, 0.7433, 0.5642, 0.2324, 0.1829),
}
FIG8 = {  # rows: depth 1, .75, .5, .25; columns: width 1, .75, .5, .25
    "searched": (
        (0.9524, 0.9367, 0.9234, 0.8400),
        (0.9365, 0.9268, 0.9063, 0.8203),
        (0.9085, 0.8672, 0.8516, 0.7500),
        (0.8963, 0.8182, 0.7734, 0.6767),
    ),
    "linear": (
        (0.9207, 0.9060, 0.8677, 0.7054),
        (0.8955, 0.8723, 0.8075, 0.6206),
        (0.7921, 0.7337, 0.6401, 0.4236),
        (0.4381, 0.3990, 0.3375, 0.2262),
    ),
    "cnn-ignore": (
        (0.8907, 0.8785, 0.8420, 0.7271),
        (0.8570, 0.8434, 0.7883, 0.6762),
        (0.8009, 0.7596, 0.7127, 0.5303),
        (0.6234, 0.6001, 0.5767, 0.5082),
    ),
    "cnn-project": (
        (0.8991, 0.8852, 0.8581, 0.7460),
        (0.8656, 0.8462, 0.7991, 0.6787),
        (0.8059, 0.7421, 0.7099, 0.5791),
        (0.6158, 0.5975, 0.5285, 0.5093),
    ),
}
FIG9 = {  # accuracy, normalised size, normalised energy, selection time in ms
    "ACME": (0.8960, 0.6667, 0.5685, 0.475),
    "Greedy-Accuracy": (0.9155, 0.7500, 0.6490, 1.650),
    "Greedy-Size": (0.9134, 0.7501, 0.7164, 1.558),
    "Random": (0.7536, 0.7438, 0.6818, 0.583),
}
FIG11 = {  # gain over the original model, in points
    "iid": {"alone": 2.0, "average": 3.8, "js": 3.4, "wasserstein": 4.0},
    "C1": {"alone": 1.9, "average": 2.4, "js": 3.0, "wasserstein": 3.8},
    "C2": {"alone": 2.0, "average": 1.4, "js": 3.2, "wasserstein": 3.8},
    "C3": {"alone": 1.8, "average": 0.6, "js": 2.6, "wasserstein": 3.8},
}
FIG12 = {  # rows B = 1, 2, 3; columns U = 1, 2, 3; on the smallest and the largest backbone
    "smallest": (
        (0.5366, 0.5517, 0.5547),
        (0.5548, 0.5781, 0.5938),
        (0.5625, 0.6016, 0.6293),
    ),
    "largest": (
        (0.9453, 0.9413, 0.9399),
        (0.9390, 0.9352, 0.9343),
        (0.9357, 0.9342, 0.9337),
    ),
}
DEPTH_ACCURACY = (  # Fig. 1, depth 1 to 12
    (0.01, 0.3049, 0.4856, 0.6248, 0.699, 0.7483, 0.7765, 0.8053, 0.8254, 0.8426, 0.8577, 0.861)
)
SAME_SIZE_SPREAD = 0.0490  # Fig. 1, right
UPLOAD_RATIO, SEARCH_SPACE_RATIO = 0.06, 0.01  # Sec. IV-B1; Table I itself is lost


def halves(table: str, against: str) -> dict[str, float]:
    """Mean gain of one header over another on the smaller and the larger half of Fig. 8's grid, by
    width times depth (ties: width)."""
    levels = (1, 0.75, 0.5, 0.25)
    points = sorted(
        (levels[d] * levels[w], levels[w], FIG8[table][d][w] - FIG8[against][d][w])
        for d in range(4)
        for w in range(4)
    )
    parts = {"small": points[:8], "large": points[8:]}
    return {half: sum(p[2] for p in part) / len(part) for half, part in parts.items()}


def mean_gain(table: Mapping[str, tuple[float, ...]], against: str) -> float | None:
    """Mean gain of the searched header over another, over all depths."""
    if against not in table:
        return None
    pairs = list(zip(table["searched"], table[against], strict=True))
    return sum(a - b for a, b in pairs) / len(pairs)
