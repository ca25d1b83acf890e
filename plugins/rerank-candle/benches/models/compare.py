#!/usr/bin/env python3
"""Podium's model code beside candle's own models, ONNX Runtime and OpenVINO: same weights, same tokens, same number of threads, one run.

    just bench-models [--python PYTHON] [--families minilm,modernbert] [--threads 1,2] [--rounds 3] [--layers 2] [--memory]

Without --python, a virtual environment with the packages below is made in ~/.cache/podium-tools/bench-models (2 GB, once). Weights are random
numbers from a seed, in the shapes of published models; but for MiniLM, of which all layers run, a model is cut to --layers of its layers, because
all layers cost the same: rates fall in proportion, ratios stay. Engines take turns, and the fastest round counts. Tokens go through in passes
of 1024, as Podium's plugins hand them over; all rows of a pass are equally long, so that nobody pads. A state is that of a row's first token
(Qwen3: the last one's); the difference is the largest from Podium's in f32.
"""

import argparse, json, os, pathlib, subprocess, sys, tempfile, time

PACKAGES = ["torch==2.11.0", "transformers==4.57.6", "onnx==1.23.2", "onnxruntime==1.31.1", "openvino==2026.4.1", "numpy==2.2.6"]
SHAPES = [(32, 128), (100, 64)]
FORWARD_TOKENS = 1024
VOCABULARY = 2000
ROOT = pathlib.Path(__file__).resolve().parents[4]


def environment():
    """Returns the interpreter of a virtual environment that has the packages; makes it where it is missing."""
    folder = pathlib.Path.home() / ".cache/podium-tools/bench-models"
    python, done = folder / "bin/python", folder / "packages.txt"
    if not done.exists() or done.read_text() != "\n".join(PACKAGES):
        print(f"making {folder} (once)", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        done.write_text("\n".join(PACKAGES))
    return str(python)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", help="an interpreter that has " + " ".join(PACKAGES))
    parser.add_argument("--families", default="minilm,xlm-roberta,modernbert,deberta,qwen3")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--memory", action="store_true", help="measure memory instead of time")
    parser.add_argument("--profile", default="release", help="cargo's profile for the Rust part")
    return parser.parse_args()


def configuration(family, layers):
    import transformers

    base = dict(vocab_size=VOCABULARY, hidden_size=768, num_hidden_layers=layers, num_attention_heads=12, intermediate_size=3072)
    if family == "minilm":
        small = dict(base, hidden_size=384, num_hidden_layers=6, intermediate_size=1536)
        return transformers.BertConfig(**small, max_position_embeddings=512)
    if family == "xlm-roberta":
        return transformers.XLMRobertaConfig(**base, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5)
    if family == "modernbert":
        shape = dict(base, intermediate_size=1152, global_attn_every_n_layers=3, local_attention=128, reference_compile=False)
        return transformers.ModernBertConfig(**shape, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2)
    if family == "deberta":
        positions = dict(relative_attention=True, position_buckets=256, max_relative_positions=-1, pos_att_type="p2c|c2p", share_att_key=True)
        return transformers.DebertaV2Config(**base, **positions, norm_rel_ebd="layer_norm", position_biased_input=False, type_vocab_size=0,
                                            max_position_embeddings=512, layer_norm_eps=1e-7)
    shape = dict(vocab_size=VOCABULARY, hidden_size=1024, num_hidden_layers=layers, num_attention_heads=16, num_key_value_heads=8)
    return transformers.Qwen3Config(**shape, head_dim=128, intermediate_size=3072, max_position_embeddings=4096, rope_theta=1e6,
                                    tie_word_embeddings=True, max_window_layers=layers)


def make(family, layers, folder):
    """Writes a checkpoint and its ONNX form, and returns how many floating point operations a token takes in products with weights."""
    import torch, transformers

    torch.manual_seed(7)
    config = configuration(family, layers)
    model = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if "norm" in name.lower() and name.endswith("weight"):
                tensor.normal_(1.0, 0.1)
            elif "embed" in name:
                tensor.normal_(0.0, 0.5)
            else:
                tensor.normal_(0.0, tensor.shape[-1] ** -0.5 if tensor.dim() > 1 else 0.1)
    prefix = "model." if family in ("modernbert", "qwen3") else ""
    import safetensors.torch
    safetensors.torch.save_file({prefix + name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    written = json.loads(config.to_json_string(use_diff=False))
    written |= {"position_embedding_type": "absolute"} if family in ("minilm", "xlm-roberta") else {}
    written |= {"layer_norm_eps": written["norm_eps"]} if family == "modernbert" else {}
    written |= {"architectures": [type(model).__name__], "pos_att_type": "p2c|c2p"} if family == "deberta" else {}
    (folder / "config.json").write_text(json.dumps({key: value for key, value in written.items() if key not in ("id2label", "label2id")}))
    for rows, length in SHAPES:
        export(family, model, length, folder / f"{length}.onnx")
    products = [tensor.numel() for name, tensor in model.named_parameters() if tensor.dim() == 2 and "embed" not in name and "pooler" not in name]
    return 2 * sum(products)


def export(family, model, length, path):
    """The number of rows is free, their length is not: some of these models cannot be exported otherwise."""
    import torch

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body = model

        def forward(self, tokens):
            if family == "qwen3":
                later = torch.full((length, length), float("-inf")).triu(1)[None, None]
                return self.body(tokens, attention_mask={"full_attention": later}, use_cache=False).last_hidden_state[:, -1]
            return self.body(tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state[:, 0]

    rows = max(FORWARD_TOKENS // length, 1)
    example = torch.ones((rows, length), dtype=torch.int64) * 5
    with torch.no_grad():
        torch.onnx.export(Whole().eval(), (example,), str(path), input_names=["tokens"], output_names=["states"], dynamo=False,
                          dynamic_axes={"tokens": {0: "rows"}, "states": {0: "rows"}}, opset_version=17)


class OnnxRuntime:
    name = "ONNX Runtime"

    def __init__(self, folder, length, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        self.session = onnxruntime.InferenceSession(str(folder / f"{length}.onnx"), options, providers=["CPUExecutionProvider"])

    def __call__(self, tokens):
        return self.session.run(None, {"tokens": tokens})[0]


class OpenVino:
    name = "OpenVINO"

    def __init__(self, folder, length, threads, precision="f32"):
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self.model = openvino.Core().compile_model(str(folder / f"{length}.onnx"), "CPU", settings)

    def __call__(self, tokens):
        return next(iter(self.model({"tokens": tokens}).values()))


class Rust:
    """Podium's code or candle's, in one process of their own."""

    def __init__(self, folder, threads, profile, tokens=FORWARD_TOKENS):
        command = ["cargo", "bench", "-q", "-p", "rerank-candle", "--bench", "models", "--profile", profile, "--", str(folder), str(threads), str(tokens)]
        variables = dict(os.environ, RAYON_NUM_THREADS=str(threads), CANDLE_NUM_THREADS=str(threads))
        self.found = folder / "found.json"
        self.child = subprocess.Popen(command, cwd=ROOT, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def round(self, engine, dtype, rows):
        import numpy

        self.child.stdin.write(f"{engine} {dtype} {rows} {self.found}\n")
        self.child.stdin.flush()
        answer = self.child.stdout.readline().split()
        if len(answer) != 4:
            self.child.wait()
            raise RuntimeError(f"{engine} {dtype} ended")
        self.weights, self.peak = int(answer[2]), int(answer[3])
        return float(answer[0]), float(answer[1]), numpy.array(json.loads(self.found.read_text()), dtype=numpy.float32)

    def end(self):
        self.child.stdin.close()
        self.child.wait()


def python_round(engine, rows):
    import numpy

    tokens = numpy.array(rows, dtype=numpy.int64)
    step = max(FORWARD_TOKENS // tokens.shape[1], 1)
    began, before = time.perf_counter(), time.process_time()
    states = [engine(tokens[start:start + step]) for start in range(0, len(tokens), step)]
    return time.perf_counter() - began, time.process_time() - before, numpy.concatenate(states)


def ways(folder, length, threads, rust, rows_file, rows):
    """Returns each way to compute these rows: its name, how often its rounds run, and one round."""
    native = lambda engine, dtype: lambda: rust.round(engine, dtype, rows_file)
    found = [("Podium f32", True, native("podium", "f32")), ("candle's own f32", True, native("candle", "f32"))]
    for build in (OnnxRuntime, OpenVino):
        engine = build(folder, length, threads)
        engine(__import__("numpy").array(rows[: max(FORWARD_TOKENS // length, 1)], dtype="int64"))
        found.append((f"{engine.name} f32", True, lambda engine=engine: python_round(engine, rows)))
    import openvino
    if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        engine = OpenVino(folder, length, threads, "bf16")
        engine(__import__("numpy").array(rows[: max(FORWARD_TOKENS // length, 1)], dtype="int64"))
        found.append(("OpenVINO bf16", False, lambda: python_round(engine, rows)))
    return found + [(f"Podium {dtype}", False, native("podium", dtype)) for dtype in ("bf16", "f16")]


def measure(family, operations, folder, threads, asked):
    import numpy

    rust = Rust(folder, threads, asked.profile)
    try:
        for count, length in SHAPES:
            generator = numpy.random.default_rng(length)
            rows = generator.integers(5, VOCABULARY, (count, length)).tolist()
            rows_file = folder / "rows.json"
            rows_file.write_text(json.dumps(rows))
            results = {}
            for turn in range(asked.rounds):
                if turn == 0:
                    engines = ways(folder, length, threads, rust, rows_file, rows)
                    native = [name for name, _, _ in engines if name.startswith(("Podium", "candle"))]
                for name, always, run in engines:
                    if always or turn == 0:
                        try:
                            results.setdefault(name, []).append(run())
                        except Exception as error:
                            print(f"| {family} | {count} x {length} | {threads} | {name} | failed: {error} | | | | |", flush=True)
            show(family, (count, length, threads), results, operations)
    finally:
        rust.end()


def show(family, place, results, operations):
    count, length, threads = place
    ours = min(wall for wall, _, _ in results["Podium f32"])
    right = results["Podium f32"][0][2]
    for name, rounds in results.items():
        wall, busy = min(round[0] for round in rounds), min(round[1] for round in rounds)
        apart = abs(rounds[0][2] - right).max()
        rate = operations * count * length / wall / 1e9
        print(f"| {family} | {count} x {length} | {threads} | {name} | {count / wall:.1f} | {count / busy if busy else 0:.1f} | "
              f"{ours / wall:.2f} | {rate:.0f} | {apart:.1e} |", flush=True)


def remember(family, folder, asked):
    """Prints what one pass takes above the weights: rows of 128 for each budget, and one row that is as long as the model allows."""
    longest = {"minilm": 512, "xlm-roberta": 512, "deberta": 512, "modernbert": 8192, "qwen3": 4096}[family]
    for dtype in ("f32", "bf16"):
        for name, rows, length in [("1024 tokens", 8, 128), ("4096 tokens", 32, 128), ("16384 tokens", 128, 128), ("one row", 1, longest)]:
            rust = Rust(folder, 1, asked.profile, rows * length)
            try:
                rows_file = folder / "rows.json"
                rows_file.write_text(json.dumps([[5 + (place * 31 + row) % 999 for place in range(length)] for row in range(rows)]))
                rust.round("podium", dtype, rows_file)
                peak = rust.peak / 2**20
                print(f"| {family} | {dtype} | {name} ({rows} x {length}) | {rust.weights / 2**20:.0f} | {peak:.0f} | "
                      f"{rust.peak / rows / length / 1024:.1f} |", flush=True)
            finally:
                rust.end()


def main():
    asked = arguments()
    python = asked.python or environment()
    if os.environ.get("PODIUM_BENCH_MODELS") != python:
        os.environ["PODIUM_BENCH_MODELS"] = python
        os.execv(python, [python, __file__, *sys.argv[1:]])
    import warnings
    warnings.filterwarnings("ignore")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} processors", flush=True)
    if asked.memory:
        print("| family | type | pass | weights, MiB | peak above them, MiB | KiB a token |")
        print("|---|---|---|---|---|---|", flush=True)
        for family in asked.families.split(","):
            with tempfile.TemporaryDirectory(prefix="podium-models-") as name:
                make(family, asked.layers, pathlib.Path(name))
                remember(family, pathlib.Path(name), asked)
        return
    print("| family | pairs x tokens | threads | engine | pairs/s | pairs per second of processor | times as fast as Podium f32 | GFLOP/s | apart |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for family in asked.families.split(","):
        with tempfile.TemporaryDirectory(prefix="podium-models-") as name:
            folder = pathlib.Path(name)
            operations = make(family, asked.layers, folder)
            for threads in asked.threads.split(","):
                measure(family, operations, folder, int(threads), asked)
    print(f"load average {os.getloadavg()[0]:.1f}", flush=True)


main()
