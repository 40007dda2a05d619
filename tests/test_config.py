"""Settings: the order of the layers, the origin of each value, and every refusal with its line."""

from pathlib import Path

import pytest

from ishibumi import config
from ishibumi.errors import UsageError
from ishibumi.settings import Settings


def written(directory: Path, text: str, name: str = "ishibumi.toml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, overrides: dict[str, str] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        config.load(path, overrides)
    assert caught.value.exit_code == 2
    assert caught.value.hint and caught.value.hint_ja
    return caught.value.message


def test_flags_go_over_the_file_over_the_recipe_over_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, 'recipe = "two-stage"\n[cpt]\nepochs = 2\nrank = 7\n')
    run = config.load(path, {"cpt.rank": "9", "documents.since": "2024-09-01"})
    assert (run.settings.cpt.alpha, run.settings.cpt.epochs, run.settings.cpt.rank) == (256, 2, 9)
    keys = ["cpt.alpha", "cpt.epochs", "cpt.rank", "cpt.clip_norm", "recipe"]
    assert [run.origins[k] for k in keys] == ["recipe two-stage", "file", "flag", "default", "file"]
    assert str(run.settings.documents.since) == "2024-09-01"


def test_two_stage_has_the_published_numbers(tmp_path: Path) -> None:
    settings = config.load(str(written(tmp_path, 'recipe = "two-stage"\n'))).settings  # a string will do, too
    seven = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    cpt, sft = settings.cpt, settings.sft
    assert (cpt.method, cpt.rank, cpt.alpha, cpt.targets) == ("lora", 128, 256, [*seven, "embed_tokens", "lm_head"])
    assert (cpt.learning_rate, cpt.embedding_learning_rate, cpt.epochs) == (3e-4, 3e-5, 3)
    assert (sft.method, sft.rank, sft.alpha, sft.targets) == ("lora", 16, 32, seven[:3])
    assert (sft.learning_rate, sft.epochs, sft.review_share) == (3e-5, 1, 0)
    assert (settings.knowledge.generator, settings.replay.share, settings.chat.share) == (["none"], 0, 0)
    assert (settings.documents.prefix_ja, settings.documents.prefix_share) == ("{date}のニュース:", 1)


def test_every_recipe_loads_and_mixed_is_the_default(tmp_path: Path) -> None:
    assert config.recipe_names() == ["mixed", "thorough", "two-stage"]
    run = config.load(written(tmp_path, ""))
    assert run.origins["cpt.learning_rate"] == "recipe mixed"


def test_a_recipe_of_ones_own_is_read_beside_the_settings_file(tmp_path: Path) -> None:
    written(tmp_path, "[cpt]\nrank = 5\n", "mine.toml")
    run = config.load(written(tmp_path, 'recipe = "mine.toml"\n'))
    assert (run.settings.cpt.rank, run.origins["cpt.rank"]) == (5, "recipe mine.toml")
    assert run.settings.cpt.alpha == Settings().cpt.alpha


def test_an_unknown_key_is_refused_with_line_and_nearest_name(tmp_path: Path) -> None:
    path = written(tmp_path, "seed = 3\n\n[chat]\nshare = 0.2\nshaer = 0.1  # wrong\n")
    assert refusal(path) == (
        f"{path}:5: unknown setting chat.shaer. Did you mean chat.share? In [chat]: sources, on_bad, leave_out, share."
    )


def test_a_key_of_another_section_is_found_there(tmp_path: Path) -> None:
    path = written(tmp_path, '[cpt]\ngenerator = "rules"\n')
    assert refusal(path).startswith(
        f"{path}:2: unknown setting cpt.generator. Did you mean knowledge.generator? In [cpt]: method, rank, "
    )


def test_one_generator_or_several_may_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, '[knowledge]\ngenerator = ["rules", "endpoint"]\n[knowledge.endpoint]\nretries = 2\n')
    knowledge = config.load(path).settings.knowledge
    assert (knowledge.generator, knowledge.endpoint.retries) == (["rules", "endpoint"], 2)
    assert config.load(path, {"knowledge.generator": "model"}).settings.knowledge.generator == ["model"]
    wrong = written(tmp_path, '[knowledge]\n\ngenerator = "rule"\n', "wrong.toml")
    assert refusal(wrong).startswith(
        f'{wrong}:3: knowledge.generator[0] = "rule" does not fit. It takes one of "rules", "model", "endpoint", "none"'
    )


def test_what_an_endpoint_needs_is_checked_when_settings_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, '[knowledge.endpoint]\nurl = "localhost:8000"\n')
    assert refusal(path).startswith(
        f'{path}:2: knowledge.endpoint.url = "localhost:8000" does not fit. It takes a text in "quotes": such as http://'
    )
    assert "knowledge.endpoint.api_key_env" in refusal(
        written(tmp_path, ""), {"knowledge.endpoint.api_key_env": "sk-1"}
    )
    assert "Did you mean knowledge.endpoint.retries? In [knowledge.endpoint]: temperature, samples" in refusal(
        written(tmp_path, "[knowledge.endpoint]\nretrys = 1\n")
    )


def test_an_unknown_section_is_refused_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "seed = 3\n[cptt]\nrank = 1\n")
    assert refusal(path).startswith(f"{path}:2: unknown section cptt. Did you mean cpt? Sections and settings at ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'rank = "64"',
            'cpt.rank = "64" does not fit. It takes a whole number at least 1 and at most 4096: LoRA rank r.',
        ),
        (
            "rank = true",
            "cpt.rank = true does not fit. It takes a whole number at least 1 and at most 4096: LoRA rank r.",
        ),
        (
            "learning_rate = 5",
            "cpt.learning_rate = 5 is out of range. It takes a number above 0 and at most 1: peak learning rate.",
        ),
        (
            'schedule = "cosin"',
            'cpt.schedule = "cosin" does not fit. It takes one of "cosine", "linear", "constant": '
            "how the learning rate falls to zero.",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_line_and_range(tmp_path: Path, line: str, message: str) -> None:
    path = written(tmp_path, f"[cpt]\n# a comment\n{line}\n")
    assert refusal(path) == f"{path}:3: {message}"


def test_all_faults_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    text = """\
[cpt]
targets = [
  "q_proj",  # rank = 9
  3,
]
[[chat.sources]]
path = "a"
[[chat.sources]]
count = 0
[documents]
since = "2024-09-01"
"""
    path = written(tmp_path, text)
    places = [line.split(" ")[:2] for line in refusal(path).splitlines()]
    assert places == [
        [f"{path}:2:", "cpt.targets[1]"],
        [f"{path}:8:", "chat.sources[1]"],  # lacks path
        [f"{path}:9:", "chat.sources[1].count"],
        [f"{path}:11:", "documents.since"],
    ]


def test_a_fault_in_a_flag_names_the_flag(tmp_path: Path) -> None:
    path = written(tmp_path, "")
    wrong = "--set sft.rnak=3: unknown setting sft.rnak. Did you mean sft.rank?"
    assert refusal(path, {"sft.rnak": "3"}).startswith(wrong)
    assert refusal(path, {"seed": "-1"}).startswith("--set seed=-1: seed = -1 is out of range. It takes a whole number")
    assert refusal(path, {"cpt": "3"}).startswith("--set cpt=3: cpt = 3 does not fit: [cpt] is a section with method,")
    assert refusal(path, {".": "3"}) == "--set .=3: no setting is named."


def test_a_flag_may_be_a_bare_word_and_text_settings_take_anything(tmp_path: Path) -> None:
    run = config.load(written(tmp_path, ""), {"model.base": "./dir", "run_dir": "2024", "exam.arms": '["base"]'})
    assert (run.settings.model.base, run.settings.run_dir, run.settings.exam.arms) == ("./dir", "2024", ["base"])


def test_a_recipe_is_refused_by_its_own_name(tmp_path: Path) -> None:
    path = written(tmp_path, 'recipe = "mixd"\n')
    assert refusal(path) == 'No recipe "mixd". Did you mean mixed? Recipes: mixed, thorough, two-stage.'
    written(tmp_path, 'recipe = "mixed"\n', "chain.toml")
    path = written(tmp_path, 'recipe = "chain.toml"\n')
    assert refusal(path) == "recipe chain.toml:1: a recipe cannot name another recipe."
    written(tmp_path, "[cpt]\nrank = 0\n", "bad.toml")
    path = written(tmp_path, 'recipe = "bad.toml"\n')
    assert refusal(path).startswith("recipe bad.toml:2: cpt.rank = 0 is out of range.")


def test_what_is_no_settings_file_is_refused(tmp_path: Path) -> None:
    written(tmp_path, "", "other.toml")
    missing = tmp_path / "ishibumi.toml"
    assert refusal(missing) == f"No settings file {missing}. TOML files in {tmp_path}: other.toml."
    assert refusal(tmp_path) == f"{tmp_path} is a directory, not a settings file."
    broken = written(tmp_path, "seed = 1\n[cpt\nrank = 3\n")
    assert refusal(broken) == f"{broken}:2: not TOML: Expected ']' at the end of a table declaration: [cpt"
    broken.write_bytes("recipe = '混合'".encode("cp932"))
    assert refusal(broken) == f"{broken} is not UTF-8 (byte 10). TOML files are always UTF-8."


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "ishibumi.toml"
    path.write_bytes(b"\xef\xbb\xbfseed = 4\r\n")
    assert config.load(path).settings.seed == 4


def test_paths_are_relative_to_the_settings_file(tmp_path: Path) -> None:
    run = config.load(written(tmp_path, 'run_dir = "out"\n'))
    assert run.run_dir == tmp_path / "out"
    assert run.resolve("/elsewhere/a") == Path("/elsewhere/a")


def test_describe_lists_every_setting_with_its_origin(tmp_path: Path) -> None:
    rows = {row.key: row for row in config.describe(config.load(written(tmp_path, "[cpt]\nrank = 3\n")))}
    assert rows["cpt.rank"] == config.SettingRow("cpt.rank", "3", "file", "LoRA rank r")
    assert rows["documents.since"].value == ""
    assert rows["model.dtype"].value == '"auto"'
    assert list(rows)[:4] == ["recipe", "run_dir", "seed", "model.base"]
