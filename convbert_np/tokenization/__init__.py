"""Text to token ids and back: the WordPiece tokenizer of BERT, which ConvBERT uses unchanged."""

from convbert_np.tokenization.added_tokens import AddedToken
from convbert_np.tokenization.batch import BatchEncoding
from convbert_np.tokenization.encoding import CharSpan, Encoding, TokenSpan
from convbert_np.tokenization.fast import ConvBertTokenizerFast
from convbert_np.tokenization.slow import ConvBertTokenizer
from convbert_np.tokenization.trainer import train_wordpiece
from convbert_np.tokenization.vocabulary import write_vocabulary

__all__ = [
    "AddedToken",
    "BatchEncoding",
    "CharSpan",
    "ConvBertTokenizer",
    "ConvBertTokenizerFast",
    "Encoding",
    "TokenSpan",
    "train_wordpiece",
    "write_vocabulary",
]
