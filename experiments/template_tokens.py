"""Which special tokens of a base model were never trained: python experiments/template_tokens.py [MODEL]."""

import sys
from pathlib import Path

import torch

from ishibumi.models.load import load_model
from ishibumi.settings import ModelSettings
from ishibumi.training.stop_gate import untrained_tokens

model = load_model(ModelSettings(base=sys.argv[1] if len(sys.argv) > 1 else ModelSettings().base), Path())
special = sorted(i for i, token in model.tokenizer.added_tokens_decoder.items() if token.special)
print("never trained:", model.tokenizer.convert_ids_to_tokens(untrained_tokens(model.network, special)))
names = [n for n in ("<start_of_turn>", "<end_of_turn>") if n in model.tokenizer.get_vocab()]
if len(names) == 2:
    rows = model.network.get_input_embeddings().weight[model.tokenizer.convert_tokens_to_ids(names)].float()
    print("cosine of both turn tokens:", round(float(torch.cosine_similarity(rows[0], rows[1], dim=0)), 3))
