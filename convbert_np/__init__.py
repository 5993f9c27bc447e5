"""ConvBERT in pure NumPy: every component a readable function with a hand-written forward and backward."""

from convbert_np.config import ConvBertConfig
from convbert_np.model.models import (
    ConvBertForMaskedLM,
    ConvBertForMultipleChoice,
    ConvBertForQuestionAnswering,
    ConvBertForSequenceClassification,
    ConvBertForTokenClassification,
    ConvBertModel,
)

__version__ = "0.1.0"
