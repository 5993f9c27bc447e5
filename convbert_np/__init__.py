"""ConvBERT in pure NumPy: every component a readable function with a hand-written forward and backward."""

from convbert_np.config import ConvBertConfig
from convbert_np.interface.models import (
    ConvBertForMaskedLM,
    ConvBertForMultipleChoice,
    ConvBertForQuestionAnswering,
    ConvBertForSequenceClassification,
    ConvBertForTokenClassification,
    ConvBertModel,
)
from convbert_np.interface.output import ModelOutput
from convbert_np.interface.pretraining import ConvBertForPreTraining
from convbert_np.tokenization import (
    AddedToken,
    BatchEncoding,
    ConvBertTokenizer,
    ConvBertTokenizerFast,
    train_wordpiece,
    write_vocabulary,
)
from convbert_np.tree import flatten, unflatten
from convbert_np.verify.gradients import check_gradients, check_model_gradients
from convbert_np.verify.trace import trace

__version__ = "0.1.0"
__all__ = [
    "AddedToken",
    "BatchEncoding",
    "ConvBertConfig",
    "ConvBertForMaskedLM",
    "ConvBertForMultipleChoice",
    "ConvBertForPreTraining",
    "ConvBertForQuestionAnswering",
    "ConvBertForSequenceClassification",
    "ConvBertForTokenClassification",
    "ConvBertModel",
    "ConvBertTokenizer",
    "ConvBertTokenizerFast",
    "ModelOutput",
    "check_gradients",
    "check_model_gradients",
    "flatten",
    "trace",
    "train_wordpiece",
    "unflatten",
    "write_vocabulary",
]
