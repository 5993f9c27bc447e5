"""Text to token ids and back: the WordPiece tokenizer of BERT, which ConvBERT uses unchanged."""

from convbert_np.tokenization.batch import BatchEncoding
from convbert_np.tokenization.tokenizer import ConvBertTokenizer

__all__ = ["BatchEncoding", "ConvBertTokenizer"]
