#!/usr/bin/env bash
# Draws docs/demo.svg from a real run of the demo: bash docs/picture.sh
# Needs python3 with venv; rich, which turns escape codes into SVG, goes into a folder of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$HOME/.cache/podium-tools/picture
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -c 'import rich' 2>/dev/null || "$venv/bin/python" -m pip install -q 'rich==14.2.0'
cargo build -q --release
CLICOLOR_FORCE=1 "${CARGO_TARGET_DIR:-target}/release/podium" demo --exit | "$venv/bin/python" -c '
import io, re, sys
from rich.console import Console
from rich.text import Text

shown = sys.stdin.read()
table = shown[shown.index("“") - len("\x1b[1m"):]  # what comes before it is the configuration
console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True, color_system="standard")
console.print(Text.from_ansi("$ podium demo\n\n" + table), soft_wrap=False)
drawn = console.export_svg(title="podium demo", unique_id="demo")
# Its fonts would be fetched from elsewhere: the reader'"'"'s own will do.
open("docs/demo.svg", "w").write(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.S))
'
