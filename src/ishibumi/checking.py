"""What a run would do, before it does it. Run → lines of text."""

from ishibumi.config import Run, describe
from ishibumi.corpus.read import read_documents
from ishibumi.corpus.texts import read_texts
from ishibumi.exam.questions import for_documents
from ishibumi.exam_stage import free_wordings, own_questions, skills_of
from ishibumi.knowledge.writer_endpoint import check_endpoint
from ishibumi.knowledge_stage import is_trained
from ishibumi.leak_check import refuse_leaks
from ishibumi.loggers import check_loggers
from ishibumi.models.load import find_base
from ishibumi.training.fitting import forecast_lines
from ishibumi.training_stages import chat_data


def check(run: Run) -> list[str]:
    """What a run would do, as lines of text; reads all inputs and trains nothing. Raises what a run would raise."""
    settings = run.settings
    check_loggers(settings.machine.log_to)
    corpus = read_documents([run.resolve(p) for p in settings.documents.paths], settings.documents)
    read_texts([run.resolve(p) for p in [*settings.replay.paths, *settings.exam.general]])
    questions = own_questions(run)
    free_wordings(run)
    skills_of(run)
    kept, num_other = for_documents(questions, {d.id for d in corpus.documents})
    chats = chat_data(run)
    trained = [document for document in corpus.documents if is_trained(run, document)]
    refuse_leaks(run, trained, chats.conversations, questions)
    base = find_base(settings.model.base, run.base_dir)
    if settings.model.instruct:
        find_base(settings.model.instruct, run.base_dir)
    if "endpoint" in settings.knowledge.generator:
        check_endpoint(settings.knowledge.endpoint)
    if "model" in settings.knowledge.generator:
        find_base(settings.knowledge.model.base or settings.model.base, run.base_dir)
    left_out = ", ".join(f"{reason} {left['count']}" for reason, left in corpus.report.items()) or "none"
    reading = [
        f"{name} {what}: {told['count']} (such as {told['examples'][0]})"
        for name, rules in (
            ("columns", corpus.columns),
            ("changed", corpus.changes),
            ("left out:", corpus.report),
            ("conversation left out:", chats.left_out),
            ("conversation noticed:", chats.suspected),
        )
        for what, told in rules.items()
    ]
    lines = [f"{row.key} = {row.value or '(not set)'}  ({row.origin})" for row in describe(run)]
    return [
        *lines,
        *reading,
        f"documents: {len(corpus.documents)}; left out: {left_out}",
        f"documents that are trained: {len(trained)}; "
        f"after documents.train_until: {len(corpus.documents) - len(trained)}",
        f"conversations: {len(chats.conversations)}",
        f"exam questions: {len(kept)}; about other documents: {num_other}"
        if settings.exam.questions
        else "exam questions: none given; some generated ones are kept out of training (exam.generated_share)",
        f"base model: {base}",
        *forecast_lines(settings, base, has_chats=bool(chats.conversations)),
        f"results: {run.run_dir}",
    ]
