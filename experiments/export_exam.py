"""The exam's questions to the finished model and to its GGUF export: shares right, replies that are equal.

    python experiments/export_exam.py SETTINGS.toml EXPORT_DIR… [--run-dir RUN] [--questions 64] [--passage]

With --passage the right article stands in the prompt (the gold_passage arm), so that also a run that learned little
has answers to compare; with --training the questions are those that the run was trained on. Both reply greedily, and
llama.cpp reads the prompt's token ids as transformers does.
"""

import argparse
import json
from pathlib import Path

import torch

from ishibumi import config
from ishibumi.corpus.read import load_documents
from ishibumi.exam.evaluate import READING_PROMPT, passage_text
from ishibumi.exam.grade import contains_answer
from ishibumi.exam.questions import TRAINING, UNANSWERABLE
from ishibumi.exam_stage import exam_questions
from ishibumi.knowledge.citation import split_citation
from ishibumi.models.generate import generate_replies
from ishibumi.models.load import load_finished
from ishibumi.use.gguf_read import LlamaCpp

parser = argparse.ArgumentParser()
parser.add_argument("settings", type=Path)
parser.add_argument("exports", type=Path, nargs="+")
parser.add_argument("--run-dir")
parser.add_argument("--questions", type=int, default=64)
parser.add_argument("--max-new-tokens", type=int, default=64)
parser.add_argument("--passage", action="store_true")
parser.add_argument("--training", action="store_true")
chosen = parser.parse_args()

run = config.load(chosen.settings, {"run_dir": chosen.run_dir} if chosen.run_dir else {})
documents = {document.id: document for document in load_documents(run.run_dir / "corpus")}
questions = [
    q
    for q in exam_questions(run, list(documents.values()))
    if (q.split == TRAINING) == chosen.training and q.split != UNANSWERABLE
]
questions = questions[:: max(1, len(questions) // chosen.questions)][: chosen.questions]
model = load_finished(run.settings.model.model_copy(update={"dtype": "float32", "device": "cpu"}), run.run_dir)


def asked(index: int) -> str:
    question = questions[index]
    if not chosen.passage:
        return question.question
    passage = passage_text(documents[question.document_id])
    return READING_PROMPT[question.language].format(passage=passage, question=question.question)


def is_right(index: int, reply: str) -> bool:
    return contains_answer(split_citation(reply.strip())[2].strip(), questions[index])


prompts = [model.format.prompt_ids([{"role": "user", "content": asked(i)}]) for i in range(len(questions))]
replies = generate_replies(model, prompts, max_new_tokens=chosen.max_new_tokens, batch_size=16)
right = [is_right(i, reply.text) for i, reply in enumerate(replies)]
window = max(len(prompt) for prompt in prompts) + chosen.max_new_tokens
n = len(questions)
for directory in chosen.exports:
    (file,) = directory.glob("*.gguf")
    with LlamaCpp(file, window=window, num_threads=torch.get_num_threads()) as reader:
        said = [reader.reply(prompt, chosen.max_new_tokens) for prompt in prompts]
        texts = [str(model.tokenizer.decode(ids, skip_special_tokens=True)) for ids, _ in said]
    there = [is_right(i, text) for i, text in enumerate(texts)]
    figures = {
        "file": file.name,
        "questions": n,
        "with_passage": chosen.passage,
        "of_training": chosen.training,
        "right": sum(right) / n,
        "right_in_llama_cpp": sum(there) / n,
        "difference_points": 100 * (sum(there) - sum(right)) / n,
        "judged_alike": sum(a == b for a, b in zip(right, there, strict=True)),
        "replies_equal": sum(a.text.strip() == b.strip() for a, b in zip(replies, texts, strict=True)),
        "stopped": sum(reply.stopped for reply in replies),
        "stopped_in_llama_cpp": sum(stopped for _, stopped in said),
    }
    print(json.dumps(figures), flush=True)
