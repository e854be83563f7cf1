"""The experiments by name, cheap to import: what the command line offers."""

EXPERIMENTS = (  # in the order in which they run: those that share work stand together
    "fleet",
    "fig1",
    "fig9",
    "fig8",
    "fig7b",
    "fig12",
    "fig10",
    "fig11",
    "ablation",
    "table1",
    "fig7a",
    "fig13b",
    "fig13a",
)
SCALES = ("quick", "default", "paper")  # files of evaluation/
