"""A Whisper model with random weights, 2 MB: it hears nonsense, but is loaded and run as any other.

Run as a program with a directory by a Python that has faster-whisper (`python tests/toy_whisper.py DIR`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_WIDTH = 64
_HEADS = 2
_LAYERS = 2


def make(folder: Path) -> None:
    """Write the model in the form of CTranslate2, with its tokenizer."""
    import numpy  # type: ignore[import-not-found]
    from ctranslate2.specs import whisper_spec  # type: ignore[import-not-found]
    from faster_whisper.tokenizer import _LANGUAGE_CODES  # type: ignore[import-not-found]
    from tokenizers import (  # type: ignore[import-not-found]
        AddedToken,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
    )

    random = numpy.random.default_rng(7)

    def weights(*shape: int) -> Any:
        return (random.standard_normal(shape) * 0.1).astype(numpy.float32)

    def norm(layer: Any) -> None:
        layer.gamma = numpy.ones(_WIDTH, numpy.float32)
        layer.beta = numpy.zeros(_WIDTH, numpy.float32)

    def linear(layer: Any, rows: int, columns: int) -> None:
        layer.weight, layer.bias = weights(rows, columns), weights(rows)

    def attention(layer: Any, *rows: int) -> None:
        norm(layer.layer_norm)
        for one, count in zip(layer.linear, rows, strict=True):
            linear(one, count * _WIDTH, _WIDTH)

    def feed(layer: Any) -> None:
        norm(layer.layer_norm)
        linear(layer.linear_0, 2 * _WIDTH, _WIDTH)
        linear(layer.linear_1, _WIDTH, 2 * _WIDTH)

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{one}|>" for one in _LANGUAGE_CODES)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    special += ["<|notimestamps|>"]
    times = [f"<|{n * 0.02:.2f}|>" for n in range(1501)]
    vocabulary = [*letters, *special, *times]

    spec = whisper_spec.WhisperSpec(_LAYERS, _HEADS, _LAYERS, _HEADS)
    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = weights(_WIDTH, 80, 3), weights(_WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = weights(_WIDTH, _WIDTH, 3), weights(_WIDTH)
    encoder.position_encodings.encodings = weights(1500, _WIDTH)
    decoder.position_encodings.encodings = weights(448, _WIDTH)
    decoder.embeddings.weight = weights(len(vocabulary), _WIDTH)
    decoder.projection.weight = weights(len(vocabulary), _WIDTH)
    norm(encoder.layer_norm)
    norm(decoder.layer_norm)
    for layer in encoder.layer:
        attention(layer.self_attention, 3, 1)
        feed(layer.ffn)
    for layer in decoder.layer:
        attention(layer.self_attention, 3, 1)
        attention(layer.attention, 1, 2, 1)
        feed(layer.ffn)
    spec.register_vocabulary(vocabulary)
    first = len(letters) + 2
    spec.config.lang_ids = [*range(first, first + len(_LANGUAGE_CODES))]
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = []
    spec.config.alignment_heads = [(1, 0)]
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))

    made = Tokenizer(models.BPE(vocab={letter: n for n, letter in enumerate(letters)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in special])
    made.add_tokens([AddedToken(one, normalized=False) for one in times])
    made.save(str(folder / "tokenizer.json"))
    sound = {"feature_size": 80, "sampling_rate": 16_000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}
    (folder / "preprocessor_config.json").write_text(json.dumps(sound))


if __name__ == "__main__":
    make(Path(sys.argv[1]))
