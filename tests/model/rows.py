"""Small models that tests share."""

from dataclasses import replace

from model.sizes import SIZES

# Has what large networks have: windows that need padding, windowed and global blocks, odd head counts.
SMALL = replace(
    SIZES["sam_vit_b"], name="small", image_size=128, patch_size=8, embed_dim=48, depth=4, num_heads=3,
    global_attn_indexes=(1, 3), window_size=6, mlp_ratio=2.0, out_chans=64, mask_in_chans=8, decoder_heads=4,
    decoder_mlp_dim=96, iou_head_hidden_dim=40,
)  # fmt: skip

SHALLOW = replace(SMALL, depth=2, global_attn_indexes=(1,))
