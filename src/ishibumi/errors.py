"""Every error that a user can cause. The frame: imported by all, imports nothing of ours.

IshibumiError (exit 1)            something was wrong with the input or the machine
 ├─ UsageError (exit 2)           wrong settings, wrong names, will not fit
 ├─ InputError                    a document, chat or question file
 ├─ ModelError                    a base model or its tokenizer
 ├─ TrainingError                 a target that matches nothing, a matrix that did not move
 ├─ ArtifactError                 a run directory: locked, incomplete, disk full
 └─ Stopped (exit 130)            the user pressed Ctrl-C; what was done is kept
"""


class IshibumiError(Exception):
    """An error with a message for the user and, in both languages, what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", hint_ja: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.hint_ja = hint_ja

    def hint_in(self, language: str) -> str:
        """The hint in «ja» or «en»; the other language where only that one is written."""
        first, second = (self.hint_ja, self.hint) if language == "ja" else (self.hint, self.hint_ja)
        return first or second


class UsageError(IshibumiError):
    """Settings or arguments that cannot work; nothing was started."""

    exit_code = 2


class InputError(IshibumiError):
    """A file of documents, chats or questions that cannot be read as such."""


class ModelError(IshibumiError):
    """A base model or tokenizer that is missing or lacks something that training needs."""


class TrainingError(IshibumiError):
    """Training that would not do what the settings say."""


class ArtifactError(IshibumiError):
    """A run directory that is locked, incomplete or cannot be written."""


class Stopped(IshibumiError):
    """The user stopped the run; the same command goes on where it stopped."""

    exit_code = 130
