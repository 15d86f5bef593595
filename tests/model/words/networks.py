"""Folders of small networks of the real classes, random, with tokenizers made here. Nothing is fetched."""

import json
from pathlib import Path
from typing import Any

import torch

WORDS = ("a", "cat", "dog", "red", "car", "photo", "of", "object", "an", "things", "stuff", "texture")


def bert_tokenizer(folder: Path) -> None:
    """BERT's vocabulary as far as Grounding DINO counts on it: the ids of [CLS], [SEP], "." and "?"."""
    vocabulary = [f"[unused{i}]" for i in range(1100)]
    vocabulary[0] = "[PAD]"
    for at, token in {100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 1012: ".", 1029: "?"}.items():
        vocabulary[at] = token
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    spare = [*(w for w in WORDS if w not in letters), *letters, *(f"##{letter}" for letter in letters)]
    vocabulary[200 : 200 + len(spare)] = spare
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    from transformers import BertTokenizer

    BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True).save_pretrained(folder)


def save(network: Any, folder: Path, **preprocessor: Any) -> Path:
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return folder


def grounding_dino(folder: Path, seed: int = 0) -> Path:
    from transformers import BertConfig, GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

    torch.manual_seed(seed)
    bert_tokenizer(folder)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4,
            out_features=["stage2", "stage3", "stage4"],  # type: ignore[call-arg]
        ),
        text_config=BertConfig(
            vocab_size=1100, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        ),
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=20, max_text_len=24,
    )  # fmt: skip
    return save(GroundingDinoForObjectDetection(config), folder, size={"shortest_edge": 96, "longest_edge": 128})


def clip_tokenizer(folder: Path) -> None:
    """CLIP's kind of vocabulary: letters, and letters that end a word. Without merges a word is its letters."""
    from transformers import CLIPTokenizer

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    tokens = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: at for at, token in enumerate(tokens)}
    CLIPTokenizer(vocab=vocabulary, merges=[], pad_token="!").save_pretrained(folder)


TEXT: dict[str, Any] = {
    "vocab_size": 55, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "bos_token_id": 53, "eos_token_id": 54, "pad_token_id": 0,
}  # fmt: skip
VISION: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip


def owlv2(folder: Path, seed: int = 0) -> Path:
    from transformers import Owlv2Config, Owlv2ForObjectDetection

    torch.manual_seed(seed)
    clip_tokenizer(folder)
    text = {**TEXT, "max_position_embeddings": 16}
    config = Owlv2Config(text_config=text, vision_config=VISION, projection_dim=16)
    return save(Owlv2ForObjectDetection(config), folder)


def clip(folder: Path, seed: int = 0) -> Path:
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    clip_tokenizer(folder)
    text = {**TEXT, "max_position_embeddings": 32}
    return save(CLIPModel(CLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)), folder)


def sam3(folder: Path, seed: int = 0) -> Path:
    from transformers import Sam3Config, Sam3Model

    torch.manual_seed(seed)
    clip_tokenizer(folder)
    part = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "num_layers": 1}
    vit = {
        "model_type": "sam3_vit_model",
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 56,
        "patch_size": 14, "window_size": 2, "global_attn_indexes": [1], "pretrain_image_size": 56,
    }  # fmt: skip
    sizes = [[16, 16], [8, 8], [4, 4]]
    config = Sam3Config(
        vision_config={"backbone_config": vit, "fpn_hidden_size": 32, "backbone_feature_sizes": sizes},
        text_config={**TEXT, "max_position_embeddings": 32, "projection_dim": 16},
        geometry_encoder_config=part, detr_encoder_config=part, detr_decoder_config={**part, "num_queries": 6},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )  # fmt: skip
    return save(Sam3Model(config), folder, size={"height": 56, "width": 56})
