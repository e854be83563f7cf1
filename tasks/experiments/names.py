"""The experiments by name, cheap to import: what the command line offers."""

EXPERIMENTS = (
    "fig1",
    "fig9",
    "fig10",
    "fig11",
    "fig8",
    "fig7b",
    "fig12",
    "fig7a",
    "fig13b",
    "fig13a",
)
SCALES = ("quick", "default")  # files of evaluation/
