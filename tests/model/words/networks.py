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
