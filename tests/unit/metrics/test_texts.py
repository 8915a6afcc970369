"""Metrics of captions by networks that read them."""

import json
import shutil
from pathlib import Path

import pytest
import tiny_wordnet
import torch
from transformers import BertConfig, BertModel

from mindeye2.demo import world
from mindeye2.demo.networks.text import word_tokenizer
from mindeye2.errors import UserError
from mindeye2.frozen.clip import Clip
from mindeye2.metrics.features import load_clip
from mindeye2.metrics.texts import caption_metrics, clip_texts, load_sentences, text_similarity

CLIP = Path(world.__file__).parent / "weights" / "clip"
TEXTS = ["a red circle on the left", "a blue square", "a large green circle on the right"]


def test_clip_texts_do_not_depend_on_the_batch():
    clip = Clip.load(CLIP)
    alone, together = (clip_texts(clip, batch_size=size)(TEXTS) for size in (1, 3))
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, clip.embed_texts(TEXTS))
    same = text_similarity(TEXTS, TEXTS, embed=clip_texts(clip, batch_size=2))
    torch.testing.assert_close(same, torch.ones(3), atol=1e-6, rtol=0)


def test_openai_clip_without_its_activation_is_refused(tmp_path):
    """Under open_clip's own file names, which come before those of another library in the same folder."""
    folder = tmp_path / "openai_clip"
    folder.mkdir()
    shutil.copy(CLIP / "model.safetensors", folder / "open_clip_model.safetensors")
    shutil.copy(CLIP / "bpe.txt.gz", folder)
    (folder / "model.safetensors").write_bytes(b"another library's")
    config = json.loads((CLIP / "config.json").read_text())
    (folder / "config.json").write_text("{}")

    def write(**extra):
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": {**config["model_cfg"], **extra}}))

    write()
    with pytest.raises(UserError, match=r"open_clip_config\.json: model_cfg lacks quick_gelu: true"):
        load_clip(folder, "openai_clip")
    plain = load_clip(folder, "clip").embed_texts(TEXTS)
    write(quick_gelu=True)
    assert not torch.allclose(load_clip(folder, "openai_clip").embed_texts(TEXTS), plain)


@pytest.fixture
def sentences(tmp_path):
    """A random sentence-transformers folder: BERT, mean pooling, as all-MiniLM-L6-v2 is laid out."""
    torch.manual_seed(0)
    tokenizer = word_tokenizer(sorted({word for text in TEXTS for word in text.split()}))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    bert = BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).eval()
    folder = tmp_path / "sentence"
    bert.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    kinds = ("Transformer", ""), ("Pooling", "1_Pooling")
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16}))
    return folder, tokenizer, bert


def test_sentences_are_means_over_words(sentences):
    folder, tokenizer, bert = sentences
    found = load_sentences(folder, device=torch.device("cpu"), batch_size=2)(TEXTS)
    with torch.no_grad():
        each = [bert(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0) for text in TEXTS]
    torch.testing.assert_close(found, torch.stack(each), atol=1e-5, rtol=0)
    (folder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(UserError, match=r"sentence: holds no sentence-transformers model") as told:
        load_sentences(folder, device=torch.device("cpu"), batch_size=2)
    assert "\n" not in str(told.value)


def test_every_metric_whose_network_is_there(tmp_path):
    def metrics(places, clip):
        return caption_metrics(places, clip=clip, clip_metric="caption_clip", device=torch.device("cpu"), batch_size=2)

    without = metrics({}, None)
    assert list(without) == ["meteor", "rouge_l", "rouge_1", "sentence", "clip_b", "caption_clip"]
    assert [name for name, compare in without.items() if compare] == ["rouge_l", "rouge_1"]
    found = metrics({"nltk": tiny_wordnet.write(tmp_path / "nltk")}, Clip.load(CLIP))
    for name in ("meteor", "rouge_l", "rouge_1", "caption_clip"):
        same, other = (found[name](TEXTS, truth) for truth in (TEXTS, TEXTS[::-1]))
        assert same.mean() == pytest.approx(1.0, abs=0.02) and other.mean() < 0.95
