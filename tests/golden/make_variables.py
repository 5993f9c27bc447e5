"""Record the names and shapes of the TensorFlow models' variables, which the table of names promises.

    in an environment with tensorflow-cpu==2.15.1 transformers==4.37.2:
        python make_variables.py

writes tensorflow_variables.json beside itself: for one and two groups, and for every class, {variable: shape}.
"""

import json
from pathlib import Path

HEADS = (
    "Model",
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)


def main():
    import transformers

    found = {}
    for groups in (1, 2):
        config = transformers.ConvBertConfig(
            vocab_size=37, hidden_size=16, embedding_size=12, num_hidden_layers=1, num_attention_heads=4, intermediate_size=20,
            max_position_embeddings=11, conv_kernel_size=3, num_groups=groups, summary_type="last", summary_use_proj=True,
            summary_activation=None,
        )  # fmt: skip
        for head in HEADS:
            model = getattr(transformers, f"TFConvBert{head}")(config)
            model(model.dummy_inputs)
            names = {v.name.partition("/")[2].removesuffix(":0"): list(v.shape) for v in model.weights}
            found[f"ConvBert{head}, groups {groups}"] = names
    path = Path(__file__).with_name("tensorflow_variables.json")
    lines = [f"{json.dumps(model)}: {json.dumps(names)}" for model, names in found.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
