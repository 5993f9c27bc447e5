"""The tasks by their names."""

from convbert_np.config import ConvBertConfig
from convbert_np.tasks.choices import Choices
from convbert_np.tasks.classification import Classification
from convbert_np.tasks.questions import Questions
from convbert_np.tasks.task import Task
from convbert_np.tasks.tokens import Tokens

TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (Classification, Tokens, Questions, Choices)}


def task_of(config: ConvBertConfig) -> Task:
    """The task that a model was fine-tuned for, by its configuration. Raises ValueError if it was for none."""
    names = config.architectures or []
    for kind in TASKS.values():
        if kind.kind.__name__ in names:
            return kind.restored(config).within(config)
    raise ValueError(f"model: is a {', '.join(names) or 'model of unknown kind'}, which was not fine-tuned for a task")
