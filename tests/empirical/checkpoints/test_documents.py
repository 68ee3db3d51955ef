"""Text with blocks: what is refused and where, and every token in the block of its characters."""

from __future__ import annotations

import json

import numpy as np
import pytest

from empirical.checkpoints.documents import Document, Span, align, read_documents
from empirical.errors import BadInput

TEXT = "Der Käufer zahlt 5 €. Übergabe 🚀 später! Der Verkäufer haftet nicht."
CUT = (21, 40)


def written(tmp_path, *lines):
    path = tmp_path / "text.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "must be a JSON object"),
        ([1], "must be a JSON object, got list"),
        ({"text": " "}, "'text' that is not empty"),
        ({"text": "abc", "spans": 3}, "'spans' in a list, got 3"),
        ({"text": "abc", "spans": [{"start": 0, "end": 4, "block": "a"}]}, r"within the text, got \[0, 4\) .* 3 char"),
        ({"text": "abc", "spans": [{"start": 2, "end": 2, "block": "a"}]}, "not empty"),
        ({"text": "abc", "spans": [{"start": -1, "end": 2, "block": "a"}]}, "within the text"),
        ({"text": "abc", "spans": [{"start": 0.5, "end": 2, "block": "a"}]}, "whole start and end"),
        ({"text": "abc", "spans": [{"start": 0, "end": 2}]}, "a block, got"),
        (
            {"text": "abc", "spans": [{"start": 0, "end": 2, "block": "a"}, {"start": 1, "end": 3, "block": "b"}]},
            r"not overlap, got \[0, 2\) of 'a' and \[1, 3\) of 'b'",
        ),
        ({"text": "abc", "spans": []}, "at least one block, got none"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path, line, words):
    good = {"text": "abc", "spans": [{"start": 0, "end": 3, "block": "a"}]}
    path = written(tmp_path, good, "", line)
    with pytest.raises(BadInput, match=words) as caught:
        read_documents(path)
    assert f"{path}:3" in str(caught.value)


def test_files_and_ways_that_cannot_be_used(tmp_path):
    with pytest.raises(BadInput, match="readable UTF-8 file"):
        read_documents(tmp_path / "none.jsonl")
    with pytest.raises(BadInput, match="at least one document"):
        read_documents(written(tmp_path, ""))
    for way in ("words", "clusters", "clusters:x", "spans:3"):
        with pytest.raises(BadInput, match="--blocks must be one of"):
            read_documents(written(tmp_path, {"text": "a"}), way)


def test_roles_and_sections(tmp_path):
    chat = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]}
    (document,) = read_documents(written(tmp_path, chat), "roles")
    assert [document.text[s.start : s.end] for s in document.spans] == ["Be brief.", "Why?"]
    assert document.blocks == ("system", "user")
    text = "preface\n# One\nfirst\n## Two\nsecond\nThree\n=====\nthird"
    (document,) = read_documents(written(tmp_path, {"text": text}), "sections")
    assert document.blocks == ("One", "Two", "Three")
    assert document.text[: document.spans[0].start] == "preface\n"
    assert document.text[document.spans[1].start : document.spans[1].end] == "## Two\nsecond\n"
    with pytest.raises(BadInput, match="messages of a role and a content"):
        read_documents(written(tmp_path, {"messages": [{"role": "user"}]}), "roles")
    with pytest.raises(BadInput, match="at least one block"):
        read_documents(written(tmp_path, {"text": "no heading"}), "sections")


def test_clusters_are_of_the_vectors_given(tmp_path):
    text = "Cats purr. Stocks fell. Cats sleep. Stocks rose."

    def embed(sentences):
        return np.array([[1.0, 0.0] if "Cats" in sentence else [0.0, 1.0] for sentence in sentences])

    (document,) = read_documents(written(tmp_path, {"text": text}), "clusters:2", embed)
    first, second, third, fourth = (span.block for span in document.spans)
    assert first == third != second == fourth
    with pytest.raises(BadInput, match="embed must give a vector a sentence for clusters:2, got None"):
        read_documents(written(tmp_path, {"text": text}), "clusters:2")
    with pytest.raises(BadInput, match=r"2 <= K <= sentences = 4, got 9"):
        read_documents(written(tmp_path, {"text": text}), "clusters:9", embed)


def tokenizers():
    """Byte-level pairs as GPT-2 has them, and characters with bytes to fall back on as Llama has them."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    pairs = Tokenizer(models.BPE())
    pairs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    pairs.train_from_iterator(["Der Käufer zahlt. Der Verkäufer haftet."], trainer)
    known = [f"<0x{byte:02X}>" for byte in range(256)] + list("▁Derkufzahlt.VsiÜnbgpo")
    fallback = Tokenizer(models.BPE({t: i for i, t in enumerate(dict.fromkeys(known))}, [], byte_fallback=True))
    fallback.normalizer = normalizers.Replace(" ", "▁")
    fallback.decoder = decoders.ByteFallback()
    return {"byte-level": pairs, "byte fallback": fallback}


@pytest.mark.parametrize("name", ["byte-level", "byte fallback"])
def test_every_token_is_of_the_block_of_its_characters(name):
    pytest.importorskip("tokenizers")
    spans = (Span(0, CUT[0], "price"), Span(CUT[0] + 1, CUT[1], "date"))
    document = Document(TEXT, spans, "x:1")
    encoded = tokenizers()[name].encode(TEXT)
    labels = align(document, encoded.offsets, ["date", "price"])
    for (start, end), label in zip(encoded.offsets, labels):
        inside = [sum(s.start <= at < s.end for at in range(start, end)) for s in spans]
        expected = -1 if max(inside) == 0 else [1, 0][int(np.argmax(inside))]
        assert label == expected
    rocket = [label for (start, end), label in zip(encoded.offsets, labels) if start <= TEXT.index("🚀") < end]
    assert len(rocket) > 1  # several byte tokens of one character
    assert set(rocket) == {0}
    assert (labels == -1).any()


def test_special_tokens_are_of_no_block():
    document = Document("ab", (Span(0, 2, "a"),), "x:1")
    assert align(document, [(0, 0), (0, 1), (1, 2), (0, 0)], ["a"]).tolist() == [-1, 0, 0, -1]


def test_a_token_on_an_edge_is_of_the_larger_part_and_of_two_alike_of_the_earlier():
    document = Document("abcdef", (Span(0, 2, "a"), Span(2, 6, "b")), "x:1")
    assert align(document, [(1, 4), (0, 3), (1, 3)], ["a", "b"]).tolist() == [1, 0, 0]


def test_documents_are_split_at_newlines_alone_and_refused_by_line(tmp_path):
    """A line separator, or what else Unicode ends lines with, may stand in a JSON string."""
    spans = [{"start": 0, "end": 3, "block": "a"}]
    good = json.dumps({"text": "one\u2028two\x85three\u2029", "spans": spans}, ensure_ascii=False)
    path = tmp_path / "text.jsonl"
    path.write_text(f"{good}\r\n{good}\n", encoding="utf-8", newline="")
    assert [one.where for one in read_documents(path)] == [f"{path}:1", f"{path}:2"]
    assert read_documents(path)[0].text == "one\u2028two\x85three\u2029"
    long = '{"text": "a", "spans": [{"start": ' + "9" * 5000 + "}]}"
    for bad in ("[" * 100_000, long, '{"a":' * 90 + "1" + "}" * 90, '{"text": "\\ud800"}', "{" + "[]," * 2**21):
        path.write_text(f"{good}\n{bad}", encoding="utf-8")
        with pytest.raises(
            BadInput, match=f"{path}:2 must be a JSON object, got (a whole|nested|text: half|more)"
        ) as no:
            read_documents(path)
        assert len(str(no.value)) < 400


def test_documents_have_a_largest_size(tmp_path, monkeypatch):
    path = tmp_path / "text.jsonl"
    path.write_text("{}" * 50)
    monkeypatch.setattr("empirical.checkpoints.documents.LARGEST_CORPUS", 99)
    with pytest.raises(
        BadInput, match="--text must be a readable UTF-8 file of JSON lines of at most 99 bytes, got more"
    ):
        read_documents(path)
