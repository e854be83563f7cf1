"""docs/backbones.md says of every VisionTransformer of timm what is so."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import timm

from tasks.cloud import backbones
from tasks.cloud.named import vits

ROOT = Path(__file__).parents[3]
TABLE = (ROOT / backbones.PAGE).read_text().split(backbones.MARK)[1].strip().splitlines()
OUT_OF_DATE = "out of date: run make backbones"
SOME = (
    "deit3_small_patch16_224",  # layer scale, positions for the patches alone
    "test_vit2",  # no class token, a register, the mean of the patches
    "test_vit3",
    "vit_base_patch16_siglip_224",
    "vit_small_patch14_reg4_dinov2",
    "vit_tiny_patch16_224",
    "vit_tiny_r_s16_p8_224",
    "vitamin_small_224",
)


@pytest.mark.parametrize("name", SOME)
def test_a_row_is_so(name: str) -> None:
    assert str(backbones.row(name)) in TABLE, OUT_OF_DATE


def test_every_name_has_a_row_with_numbers_or_a_reason() -> None:
    names = [re.match(r"\| `(\w+)` \|", line) for line in TABLE[2:]]
    assert [found[1] for found in names if found] == vits(), OUT_OF_DATE
    of_one_file = [
        n for n in vits() if timm.model_entrypoint(n).__module__.endswith(".vision_transformer")
    ]
    assert len(of_one_file) == 163
    for line in TABLE[2:]:
        assert re.fullmatch(r"\| `\w+` \| \d+ \| [\d,]+ \| [\d,]+ \| yes \|", line) or re.fullmatch(
            r"\| `\w+` \| \| \| \| no: it (has|is) .+ \|", line
        ), line
    assert f"of timm {timm.__version__}:" in (ROOT / backbones.PAGE).read_text()


def test_no_other_module_of_timm_has_vision_transformers() -> None:
    """Whoever is left out is none: looked up among what a few other modules make."""
    from models.backbone.families.from_timm import RefusedError

    for name in ("beit_base_patch16_224", "eva02_tiny_patch14_224", "naflexvit_base_patch16_gap"):
        assert name not in vits()
        with pytest.raises(RefusedError, match="not timm's VisionTransformer"):
            backbones.look(name)


@pytest.mark.slow
def test_the_walk_over_all_of_timm(tmp_path: Path) -> None:
    """Every one is taken and exact, or refused with a reason: within 20 minutes and 8 GiB."""
    page = tmp_path / backbones.PAGE
    page.parent.mkdir()
    page.write_text((ROOT / backbones.PAGE).read_text())
    subprocess.run(
        [sys.executable, "-m", "tasks.cloud.backbones"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=1200,
    )
    assert page.read_text() == (ROOT / backbones.PAGE).read_text(), OUT_OF_DATE
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss < 8 << 20  # in KiB
