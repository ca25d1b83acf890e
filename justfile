# Recipes for people; `just` lists them. Machines run .ci/run.

# Lists the recipes.
default:
    @just --list --unsorted

# Runs the tests that need no network.
test:
    cargo test --workspace

# Formats the code.
fmt:
    cargo fmt --all

# Runs clippy as strictly as CI does.
lint:
    cargo clippy --workspace --all-targets --features real-engines,real-model,real-servers,real-weights,rerank-cross-encoder/real-cuda,rerank-embedding/real-cuda,rerank-qwen3/real-cuda -- -D warnings

# Runs the tests on a real OpenSearch and a real Elasticsearch (Maven and Java 21 or newer; the first time fetches 115 MB).
engines *filter:
    cargo test --features real-engines --test engines -- {{filter}}

# Shows on both engines that Podium changes nothing but the order of hits.
transparency *filter:
    cargo test --features real-engines --test transparency -- {{filter}}

# Runs the official clients in five languages on both engines, direct and through Podium (also needs python3, npm, Go).
clients *filter:
    cargo test --features real-engines --test clients -- {{filter}}

# Builds Podium for CUDA devices with nvcc from PyPI (105 MB once, then an hour on two cores, less on more): just cuda-build 90 for H100 and H200 alone.
cuda-build capability="80":
    scripts/cuda-build.sh {{capability}}

# Runs the safetensors fixtures of every family on the first CUDA device against the reference (needs a CUDA toolkit).
cuda-test:
    cargo test --release --features cuda,real-cuda -p rerank-cross-encoder -p rerank-embedding -p rerank-qwen3 --test cuda -- --nocapture

# Measures the shapes of common models on a device: just bench-device cuda:0 bf16 (a CUDA device needs --features cuda).
bench-device device="cpu" dtype="f32" *arguments:
    cargo run --release -p rerank-candle {{arguments}} --example device -- {{device}} {{dtype}}

# Runs the real MiniLM against its known vectors (the first time fetches it).
model:
    cargo test --release --features real-model --test real_model

# Compares real weights with the scores that others published: all of the table, or those whose names hold a word; NAME=FOLDER takes a
# model from elsewhere. Needs a hub; the whole table fetches 8 GB.
real-weights *models:
    cargo test --release --features real-weights --test real_weights -- {{models}}

# Asks a rerank server that others made, with one of the fixtures: Infinity (fetched once with PyTorch, 600 MB or more; or INFINITY_PYTHON has them).
remote-server *filter:
    cargo test --features real-servers --test servers -- --test-threads 1 {{filter}}

# Measures Cranfield through the gateway: relevance, time and bytes.
cranfield:
    cargo test --release --features real-engines,real-model --test engines -- cranfield --test-threads 1 --nocapture

# Keeps one real engine running until ctrl-c: `just engine opensearch 9200`.
engine product port="9200":
    tests/engines/start.sh {{product}} {{port}}

# Shows Podium on a shop, with an engine of its own.
demo *arguments:
    cargo run --release -- demo {{arguments}}

# Draws docs/demo.svg from a real run (on an idle machine, with the model in the cache).
picture:
    bash docs/picture.sh

# Runs one of the small benchmarks: just bench rewrite (or memory, telemetry).
bench name *arguments:
    cargo bench --bench {{name}} -- {{arguments}}

# Measures what Podium adds to a search when the model costs nothing (two minutes, on an idle machine).
bench-interception *arguments:
    cargo bench --features real-engines,real-model --bench interception -- {{arguments}}

# Compares the hop of requests that no rule concerns with nginx's (nginx and wrk must be installed; three minutes, on an idle machine).
bench-passthrough *arguments:
    cargo bench --features real-engines,real-model --bench passthrough -- {{arguments}}

# Measures what Podium adds to a search whose scores are all cached (three minutes, on an idle machine).
bench-hot *arguments:
    cargo bench --features real-engines,real-model --bench hot -- {{arguments}}

# Loads a model of fixed cost with up to ten times what it can score (three minutes).
bench-overload *arguments:
    cargo bench --features real-engines,real-model --bench overload -- {{arguments}}

# Searches a million times while everything goes wrong at once, and looks at every answer (some ten minutes).
bench-chaos *arguments:
    cargo bench --features real-engines,real-model --bench chaos -- {{arguments}}

# Measures sixteen Cranfield searches at once against one by one, with the real MiniLM (two minutes).
bench-batching *arguments:
    cargo bench --features real-engines,real-model --bench batching -- {{arguments}}

# Measures searches through a real OpenSearch and the real MiniLM with cold, half-warm and warm caches (four minutes).
bench-minilm *arguments:
    cargo bench --features real-engines,real-model --bench minilm -- {{arguments}}

# Compares the model code with candle's own, ONNX Runtime and OpenVINO (pip fetches 2 GB once, or name an interpreter: --python; ten minutes).
bench-models *arguments:
    python3 plugins/rerank-candle/benches/models/compare.py {{arguments}}

# Runs everything that must hold before a change is taken.
ci:
    bash .ci/run
