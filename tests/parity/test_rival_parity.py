"""The BERT that the package's model is compared with, against ElectraForMaskedLM, which has the same embeddings and head."""

import numpy as np
import pytest
from test_parity import reference  # noqa: F401  (a fixture: imports torch and transformers)

from convbert_np.config import ConvBertConfig
from convbert_np.recipes.bert import BertForMaskedPositions

pytestmark = pytest.mark.parity
SIZES = {
    "vocab_size": 37, "hidden_size": 24, "embedding_size": 16, "num_attention_heads": 4, "intermediate_size": 30,
    "num_hidden_layers": 2, "max_position_embeddings": 12, "pad_token_id": 0,
    "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0,
}  # fmt: skip


@pytest.mark.parametrize("share", [None, 0.3])
def test_the_rival_is_bert(reference, share):  # noqa: F811
    import torch
    from transformers import ElectraConfig, ElectraForMaskedLM

    rng, ours = np.random.default_rng(3), BertForMaskedPositions(ConvBertConfig(**SIZES), 0, np.float64)
    theirs = ElectraForMaskedLM(ElectraConfig(**SIZES)).double().eval()
    named = {name.replace("convbert.", "electra."): p for name, p in ours.named_parameters().items()}
    for p in named.values():
        p[...] = rng.standard_normal(p.shape) * 0.3
    missing, unexpected = theirs.load_state_dict({n: torch.from_numpy(p.copy()) for n, p in named.items()}, strict=False)
    assert set(missing) <= {"generator_lm_head.weight", "electra.embeddings.position_ids"} and not unexpected
    ids = rng.integers(1, 37, (3, 11))
    attends = (np.arange(11) < np.array([[11], [7], [9]])).astype(int)
    labels = np.where(attends & (rng.random(ids.shape) < 0.5), ids, -100)
    out = ours(ids, attention_mask=attends, labels=labels)
    theirs_out = theirs(*map(torch.from_numpy, (ids, attends)), labels=torch.from_numpy(labels))
    np.testing.assert_allclose(out.logits, theirs_out.logits.detach().numpy()[labels != -100], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(out.loss, theirs_out.loss.item(), rtol=1e-12)
    (theirs_out.loss * (1.0 if share is None else share)).backward()
    grads = ours.backward(out, None if share is None else {"loss": share})
    found = {name: p.grad for name, p in theirs.named_parameters()}
    for name in named:
        want, got = found[name].numpy(), grads[name.replace("electra.", "convbert.")]
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-12 * np.linalg.norm(want) + 1e-15, err_msg=name)
