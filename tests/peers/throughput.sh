#!/usr/bin/env bash
# How long a payload takes to encrypt and to decrypt with codec-kit, and with the codecs that Temporal's samples have
# for Go, Java, TypeScript and Python; and to be decoded by our codec server, and by that of the samples for Go.
# Needs cargo, Go 1.26, Java 17 with Maven, Node.js 20 with npm, and Python with recipes/python/requirements.txt, whose
# interpreter RECIPES_PYTHON names.
#
# tests/peers/throughput.sh FOLDER [ROUNDS]    builds the programs in the folder, runs each of them once in every round
#                                              (5 by default), and prints tables of the fastest
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
  echo "usage: tests/peers/throughput.sh FOLDER [ROUNDS]" >&2
  exit 2
fi
mkdir -p "$1"
folder=$(cd "$1" && pwd)
rounds=${2:-5}
python=${RECIPES_PYTHON:-python3}
cd "$(dirname "$0")/../.."
peers=$PWD/tests/peers
target=${CARGO_TARGET_DIR:-$PWD/target}
# All use the public test key.
unset CODEC_KEYS CODEC_KEY_FILE CODEC_ACTIVE_KEY

echo "building, in $folder and $target" >&2
cargo build --release --package codec-kit --example throughput >&2
cargo build --release --package codec-server --bin codec-server --example server_throughput >&2
go build -C "$peers/go" -o "$folder/go"
mkdir -p "$folder/typescript"
cp "$peers"/typescript/*.json "$peers"/typescript/*.ts "$folder/typescript"
(cd "$folder/typescript" && npm install --silent --prefer-offline && npm run --silent build) >&2
mvn --quiet --batch-mode --file "$peers/java" "-Dbuilt=$folder/java" compile >&2

for round in $(seq "$rounds"); do
  echo "codecs, round $round of $rounds" >&2
  "$target/release/examples/throughput"
  "$folder/go" throughput
  java -cp "$(cat "$folder/java/classpath"):$folder/java/classes" Peer throughput
  node "$folder/typescript/lib/peer.js" throughput
  "$python" -B "$peers/python/peer.py" throughput
done >"$folder/codecs"

servers=()
trap 'kill "${servers[@]}"' EXIT
RUST_LOG=warn "$target/release/codec-server" --address 127.0.0.1:0 >"$folder/ours.log" 2>&1 &
servers+=($!)
"$folder/go" codec-server >"$folder/theirs.log" 2>&1 &
servers+=($!)

# The address that a server prints when it listens.
url() {
  for _ in {1..100}; do
    grep --only-matching --max-count=1 'http://127[0-9.:]*' "$1" && return
    sleep 0.1
  done
  echo "the server did not start:" >&2
  cat "$1" >&2
  return 1
}
ours=$(url "$folder/ours.log")
theirs=$(url "$folder/theirs.log")
for round in $(seq "$rounds"); do
  echo "codec servers, round $round of $rounds" >&2
  "$target/release/examples/server_throughput" codec-server "$ours"
  "$target/release/examples/server_throughput" Go "$theirs"
done >"$folder/servers"

"$python" "$peers/table.py" <"$folder/codecs"
echo
"$python" "$peers/table.py" <"$folder/servers"
