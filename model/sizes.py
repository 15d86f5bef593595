"""The models of this project, as rows of one dict. Torch-free.

Sources: the SAM paper (arXiv 2304.02643, appendix A) and its published checkpoints; MobileSAM
(arXiv 2306.14289) and its published checkpoint; `sam_tiny` is trained here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from model.errors import UnknownModel

SAM_URL = "https://dl.fbaipublicfiles.com/segment_anything/"
MOBILE_SAM_URL = "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/"

PUBLISHED_AUTOMATIC: Mapping[str, float] = MappingProxyType(
    {
        "points_per_side": 32,
        "points_per_batch": 64,
        "pred_iou_thresh": 0.88,
        "stability_score_thresh": 0.95,
        "stability_score_offset": 1.0,
        "box_nms_thresh": 0.7,
        "crop_n_layers": 0,
        "crop_nms_thresh": 0.7,
        "crop_overlap_ratio": 512 / 1500,
        "crop_n_points_downscale_factor": 1,
        "min_mask_region_area": 0,
    }
)


@dataclass(frozen=True)
class Stage:
    """One stage of a TinyViT: `depth` blocks at `dim`, after a merge of `stride` from the stage before.

    `num_heads` 0 means convolutional blocks (MBConv) instead of windowed attention; the first stage's
    stride is the patch embedding's (two convolutions of stride 2).
    """

    dim: int
    depth: int
    num_heads: int
    window_size: int
    stride: int


@dataclass(frozen=True)
class Size:
    """Hyper-parameters of one model. Lengths are in model pixels; `patch_size` is the stride of the whole encoder."""

    name: str
    encoder: str  # "vit" | "tiny_vit" | "lite"
    embed_dim: int
    depth: int
    num_heads: int
    parameters: int
    global_attn_indexes: tuple[int, ...] = ()
    window_size: int = 14
    stages: tuple[Stage, ...] = ()  # tiny_vit and lite
    image_size: int = 1024
    patch_size: int = 16
    mlp_ratio: float = 4.0
    out_chans: int = 256  # width of the neck, the prompt encoder and the mask decoder
    mask_in_chans: int = 16
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_dim: int = 2048
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    pixel_std: tuple[float, float, float] = (58.395, 57.12, 57.375)
    filename: str | None = None  # of the published checkpoint
    url: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    licence: str = "Apache-2.0"
    automatic: Mapping[str, float] = field(default_factory=lambda: PUBLISHED_AUTOMATIC)

    stretched = False  # images keep their shape and are padded

    @property
    def grid(self) -> int:
        """Side of the embedding: image_size / patch_size cells."""
        return self.image_size // self.patch_size

    @property
    def mask_size(self) -> int:
        """Side of the low-resolution logits: four per embedding cell."""
        return 4 * self.grid


def _published(name: str, *, filename: str, base_url: str, **rest: object) -> Size:
    return Size(name=name, filename=filename, url=base_url + filename, **rest)  # type: ignore[arg-type]


_ROWS = (
    _published(
        "sam_vit_h",
        encoder="vit",
        embed_dim=1280,
        depth=32,
        num_heads=16,
        global_attn_indexes=(7, 15, 23, 31),
        parameters=641_090_608,
        filename="sam_vit_h_4b8939.pth",
        base_url=SAM_URL,
        sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        size_bytes=2_564_550_879,
    ),
    _published(
        "sam_vit_l",
        encoder="vit",
        embed_dim=1024,
        depth=24,
        num_heads=16,
        global_attn_indexes=(5, 11, 17, 23),
        parameters=312_342_832,
        filename="sam_vit_l_0b3195.pth",
        base_url=SAM_URL,
        sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        size_bytes=1_249_524_607,
    ),
    _published(
        "sam_vit_b",
        encoder="vit",
        embed_dim=768,
        depth=12,
        num_heads=12,
        global_attn_indexes=(2, 5, 8, 11),
        parameters=93_735_472,
        filename="sam_vit_b_01ec64.pth",
        base_url=SAM_URL,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        size_bytes=375_042_383,
    ),
    _published(
        "mobile_sam",
        encoder="tiny_vit",
        embed_dim=320,
        depth=12,
        num_heads=10,
        window_size=7,
        stages=(
            Stage(dim=64, depth=2, num_heads=0, window_size=0, stride=4),
            Stage(dim=128, depth=2, num_heads=4, window_size=7, stride=2),
            Stage(dim=160, depth=6, num_heads=5, window_size=14, stride=2),
            Stage(dim=320, depth=2, num_heads=10, window_size=7, stride=1),
        ),
        parameters=9_808_452,
        filename="mobile_sam.pt",
        base_url=MOBILE_SAM_URL,
        sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        size_bytes=40_728_226,
    ),
    Size(
        name="sam_tiny",
        encoder="lite",
        image_size=384,
        embed_dim=160,
        depth=4,
        num_heads=5,
        stages=(
            Stage(dim=160, depth=2, num_heads=5, window_size=8, stride=16),
            Stage(dim=160, depth=2, num_heads=5, window_size=24, stride=1),
        ),
        pixel_mean=(127.0, 127.0, 127.0),
        pixel_std=(128.0, 128.0, 128.0),
        out_chans=128,
        decoder_heads=4,
        decoder_mlp_dim=512,
        iou_head_hidden_dim=128,
        parameters=5_274_544,
        filename="sam_tiny.safetensors",
        sha256="94a35ba6fae55e3274f0e6d58ef451f424ed452fcb0a96e7014eaa6d0f3d7f26",
        size_bytes=10_588_840,
        automatic=MappingProxyType(
            {
                **PUBLISHED_AUTOMATIC,
                "points_per_side": 16,
                # Chosen on held-out scenes: the model card has the table.
                "pred_iou_thresh": 0.45,
                "stability_score_thresh": 0.85,
                "box_nms_thresh": 0.5,
                # The suppression after the removal of small regions uses it too.
                "crop_nms_thresh": 0.8,
                "min_mask_region_area": 64,
                # Its logits are shallow: one unit either way is far from the border.
                "stability_score_offset": 0.25,
                "max_masks": 50,
            }
        ),
    ),
)

SIZES: Mapping[str, Size] = MappingProxyType({row.name: row for row in _ROWS})


def size(name: str) -> Size:
    """The row of that name. UnknownModel lists the names."""
    if name not in SIZES:
        raise UnknownModel(f"no model is called {name!r}; there are {', '.join(SIZES)}")
    return SIZES[name]
