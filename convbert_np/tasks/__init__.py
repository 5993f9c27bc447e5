"""Tasks to fine-tune for: files, features, predictions and metrics of each."""

from convbert_np.tasks.catalogue import TASKS, task_of
from convbert_np.tasks.choices import Choice, Choices
from convbert_np.tasks.classification import Classification, Text
from convbert_np.tasks.predictor import Predictor
from convbert_np.tasks.questions import Questions
from convbert_np.tasks.squad import Answer, Question
from convbert_np.tasks.task import Task
from convbert_np.tasks.tokens import Sentence, Tokens

__all__ = [
    "TASKS", "Answer", "Choice", "Choices", "Classification", "Predictor", "Question", "Questions", "Sentence", "Task", "Text",
    "Tokens", "task_of",
]  # fmt: skip
