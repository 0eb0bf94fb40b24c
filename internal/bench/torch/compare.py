#!/usr/bin/env python3
"""Sets the flowing model in PyTorch beside ours: same shape, same steps, one core.

    compare.py FOLDER [--rounds 3] [--dims 128,256]

FOLDER holds clinc150/data_full.json. Both sides run in turns, so that what else
the machine does meets both, and processor time is compared, the best of the
rounds on each side. Needs python3-torch and libopenblas0 (Debian), for this
comparison only: without the latter PyTorch falls back to a BLAS ten times as slow.
"""

import argparse
import json
import math
import os
import random
import re
import subprocess
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import torch
import torch.nn.functional as F

RHO, MAX_U = 0.9, 0.4
BUCKETS = {128: 1 << 15, 256: 1 << 16, 512: 1 << 17}


def features(word, buckets):
    """The word itself and the 3-, 4- and 5-grams of <word>, hashed (FNV-1a)."""
    def fnv(s):
        h = 2166136261
        for b in s.encode():
            h = (h ^ b) * 16777619 & 0xFFFFFFFF
        return h % buckets
    w = "<" + word + ">"
    return [fnv(word)] + [fnv(w[i:i + n] + str(n)) for n in (3, 4, 5) for i in range(len(w) - n + 1)]


class Corpus:
    def __init__(self, folder, buckets):
        with open(os.path.join(folder, "clinc150", "data_full.json")) as f:
            rows = json.load(f)["train"]
        self.labels = sorted({r[1] for r in rows})
        number = {l: i for i, l in enumerate(self.labels)}
        vocabulary, self.grams, self.rows = {}, [], []
        for text, label in rows:
            words = []
            for w in re.findall(r"[a-z]+|[0-9]+|[^\sa-z0-9]", text.lower()):
                if w not in vocabulary:
                    vocabulary[w] = len(vocabulary)
                    self.grams.append(features(w, buckets))
                words.append(vocabulary[w])
            self.rows.append((words, number[label]))

    def epoch(self, size, g):
        """Batches of prompts of like length, to spare PyTorch the padding."""
        order = torch.randperm(len(self.rows), generator=g).tolist()
        order.sort(key=lambda i: len(self.rows[i][0]))
        batches = [order[i:i + size] for i in range(0, len(order), size)]
        return [batches[i] for i in torch.randperm(len(batches), generator=g)]


class Power:
    """Largest singular value by power iteration that goes on from step to step."""

    def __init__(self, d):
        self.v = torch.randn(d)

    def norm(self, m):
        u = m @ self.v
        self.v = m.t() @ (u / (u.norm() + 1e-12))
        return self.v.norm().item()


class Flowing:
    def __init__(self, d, buckets, labels):
        self.d = d
        self.table = (torch.randn(buckets, d) * 0.1).requires_grad_()
        def gauss(rows, cols, norm):
            return (torch.randn(rows, cols) * norm / 2 / math.sqrt(d)).requires_grad_()
        self.mix, self.u = gauss(3 * d, d, 0.2), gauss(d, d, MAX_U)
        self.b = torch.zeros(d, requires_grad=True)
        self.head = gauss(3 * d, d, 1)
        self.prototypes = torch.randn(labels, d).requires_grad_()
        self.scale = torch.tensor(16.0, requires_grad=True)
        self.powers = [Power(d) for _ in range(4)]
        dense = [self.mix, self.u, self.b, self.head, self.prototypes, self.scale]
        self.adam = torch.optim.Adam(dense, lr=2e-3)
        self.sparse = torch.optim.SparseAdam([self.table], lr=2e-3)

    def step_cell(self, z, inp, mask):
        """z [B×(T+2)×d] with borders of zeros; one product with K = 3d."""
        B, T2, d = z.shape
        wide = torch.cat([z[:, :-2], z[:, 1:-1], z[:, 2:]], 2)
        return torch.tanh(wide @ self.mix + inp) * mask

    def settle(self, inp, mask, tolerance, most=50):
        z = torch.zeros_like(inp)
        for depth in range(1, most + 1):
            new = self.step_cell(F.pad(z, (0, 0, 1, 1)), inp, mask)
            moved = (new - z).norm(dim=(1, 2)) / (new.norm(dim=(1, 2)) + 1e-12)
            z = new
            if moved.max().item() < tolerance:
                break
        return z, depth

    def words(self, bags, offsets, sparse=False):
        return F.embedding_bag(bags, self.table, offsets, mode="sum", sparse=sparse)

    def pool(self, x, z, mask, lengths):
        mean = F.relu(x.sum(1) / lengths)
        most = z.masked_fill(mask == 0, -2).max(1)[0]
        return torch.cat([mean, z.sum(1) / lengths, most], 1)

    def train_step(self, corpus, batch):
        words = [[w for w in corpus.rows[i][0] if random.random() > 0.1] or corpus.rows[i][0][:1] for i in batch]
        target = torch.tensor([corpus.rows[i][1] for i in batch])
        distinct = sorted({w for ws in words for w in ws})
        place = {w: i + 1 for i, w in enumerate(distinct)}
        bags, offsets = [], []
        for w in distinct:
            offsets.append(len(bags))
            bags += corpus.grams[w]
        B, T = len(batch), max(map(len, words))
        index = torch.zeros(B, T, dtype=torch.long)
        for i, ws in enumerate(words):
            index[i, :len(ws)] = torch.tensor([place[w] for w in ws])
        mask = (index > 0).float().unsqueeze(2)
        lengths = mask.sum(1)
        vectors = self.words(torch.tensor(bags), torch.tensor(offsets), sparse=True)
        x = F.pad(vectors, (0, 0, 1, 0))[index]
        inp = F.layer_norm(x, (self.d,)) @ self.u + self.b
        with torch.no_grad():
            z, _ = self.settle(inp * mask, mask, 1e-3)
        for _ in range(2):
            z = self.step_cell(F.pad(z, (0, 0, 1, 1)), inp, mask)
        pooled = F.dropout(self.pool(x, z, mask, lengths), 0.4)
        h = F.normalize(pooled @ self.head, dim=1)
        loss = F.cross_entropy(self.scale * (h @ F.normalize(self.prototypes, dim=1).t()), target, label_smoothing=0.1)
        self.adam.zero_grad()
        self.sparse.zero_grad()
        loss.backward()
        self.adam.step()
        self.sparse.step()
        self.bound()
        return loss.item()

    @torch.no_grad()
    def bound(self):
        d = self.d
        total = sum(p.norm(m) for p, m in zip(self.powers, (self.mix[:d], self.mix[d:2 * d], self.mix[2 * d:])))
        if total > RHO:
            self.mix *= RHO / total
        if (u := self.powers[3].norm(self.u)) > MAX_U:
            self.u *= MAX_U / u

    @torch.no_grad()
    def encode(self, bags, offsets, mask, lengths):
        x = self.words(bags, offsets).unsqueeze(0)
        inp = F.layer_norm(x, (self.d,)) @ self.u + self.b
        z, depth = self.settle(inp, mask, 1e-4)
        return F.normalize(self.pool(x, z, mask, lengths) @ self.head, dim=1), depth


def torch_epoch(folder, d):
    torch.manual_seed(1)
    corpus = Corpus(folder, BUCKETS[d])
    model, g = Flowing(d, BUCKETS[d], len(corpus.labels)), torch.Generator().manual_seed(1)
    batches = corpus.epoch(64, g)
    for b in batches[:5]:
        model.train_step(corpus, b)
    began = time.process_time()
    for b in batches[5:65]:
        model.train_step(corpus, b)
    return (time.process_time() - began) / 60


def torch_prompt(d):
    torch.manual_seed(1)
    model = Flowing(d, BUCKETS[d], 150)
    bags, offsets = [], []
    for w in "how do i reset the password of my account".split():
        offsets.append(len(bags))
        bags += features(w, BUCKETS[d])
    args = torch.tensor(bags), torch.tensor(offsets), torch.ones(1, 9, 1), torch.full((1, 1), 9.0)
    best = math.inf
    for _ in range(20):
        began = time.process_time()
        for _ in range(20):
            model.encode(*args)
        best = min(best, (time.process_time() - began) / 20)
    return best


def ours(pattern, package, unit):
    env = dict(os.environ, GOMAXPROCS="1")
    out = subprocess.run(["go", "test", package, "-run", "^$", "-bench", pattern, "-benchtime", "1x", "-torch"],
                         env=env, capture_output=True, text=True)
    for line in out.stdout.splitlines():
        if (m := re.search(r"([\d.]+(?:e[-+]\d+)?) " + re.escape(unit) + r"\b", line)):
            return float(m.group(1))
    raise SystemExit(f"{pattern} gave no {unit}:\n{out.stdout}{out.stderr}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--dims", default="128,256")
    a = p.parse_args()
    torch.set_num_threads(1)
    os.environ["NEXUS_BENCH_DATA"] = a.folder
    print(f"PyTorch {torch.__version__}, one core, processor time, best of {a.rounds} rounds\n")
    print("| | PyTorch | ours | ratio |\n|---|---|---|---|")
    for d in map(int, a.dims.split(",")):
        steps, prompts = [math.inf] * 2, [math.inf] * 2
        for _ in range(a.rounds):
            steps[0] = min(steps[0], torch_epoch(a.folder, d))
            steps[1] = min(steps[1], ours(f"BesideTorch/step/d{d}$", "./model/learn", "cpu-ms/step") / 1e3)
            prompts[0] = min(prompts[0], torch_prompt(d))
            prompts[1] = min(prompts[1], ours(f"BesideTorch/prompt/d{d}$", "./model/learn", "cpu-µs/prompt") / 1e6)
        print(f"| training step of 64 prompts, d{d} | {1e3 * steps[0]:.1f} ms | {1e3 * steps[1]:.1f} ms | {steps[0] / steps[1]:.2f} |")
        print(f"| one prompt of nine words to 1e-4, d{d} | {1e6 * prompts[0]:.0f} µs | {1e6 * prompts[1]:.1f} µs | {prompts[0] / prompts[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
