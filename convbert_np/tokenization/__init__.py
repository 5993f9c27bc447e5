"""Text to token ids and back: the WordPiece tokenizer of BERT, which ConvBERT uses unchanged."""

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.batch import BatchEncoding
from convbert_np.tokenization.encoding import CharSpan, Encoding, TokenSpan
from convbert_np.tokenization.fast import ConvBertTokenizerFast
from convbert_np.tokenization.slow import ConvBertTokenizer

__all__ = ["AddedToken", "BatchEncoding", "CharSpan", "ConvBertTokenizer", "ConvBertTokenizerFast", "Encoding", "TokenSpan"]
