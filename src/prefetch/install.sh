#!/bin/sh
# Installs this bundle into a clone of the workshop:  sh install.sh [CLONE]
# The same as `cargo workshop prefetch --from`, for a laptop that has nothing built yet.
# Exit codes: 0 done, 2 wrong usage, 3 the bundle or the clone is not as it should be.
set -eu

fail() {
  code=$1
  shift
  printf 'error: %s\n' "$*" >&2
  exit "$code"
}

bundle=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
clone=$(CDPATH='' cd -- "${1:-.}" && pwd) || fail 2 "there is no folder ${1:-.}"
[ -f "$clone/nix/process-compose.yaml" ] || fail 2 "$clone is not the workshop's folder. \
Change to your clone of it, or make one: git clone '$bundle/workshop.bundle' unblock"

if command -v sha256sum >/dev/null; then
  check() { sha256sum -c "$@"; }
elif command -v shasum >/dev/null; then
  check() { shasum -a 256 -c "$@"; }
else
  fail 3 "neither sha256sum nor shasum is here, so the bundle can't be checked, and is not used"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
LC_ALL=C
export LC_ALL

echo "checking every file of $bundle"
cd "$bundle"
[ -f SHA256SUMS ] || fail 3 "SHA256SUMS is missing: the bundle was not written to its end. Nothing was used"
# A sum, two spaces, a name.
sed -n 's/^[0-9a-f]\{64\}  //p' SHA256SUMS | sort >"$work/listed"
find . ! -type d ! -path ./SHA256SUMS | sed 's|^\./||' | sort >"$work/found"
{
  grep -v '^[0-9a-f]\{64\}  .' SHA256SUMS | sed 's/^/SHA256SUMS has a line that is no sum: /' || true
  comm -23 "$work/listed" "$work/found" | sed 's/^/missing: /'
  comm -13 "$work/listed" "$work/found" | sed 's/^/additional: /'
  find . ! -type d ! -type f | sed 's|^\./|changed: |'
  # What is missing was said already.
  check SHA256SUMS 2>/dev/null | sed -n 's/^\(.*\): FAILED$/changed: \1/p' || true
} >"$work/faults"
if [ -s "$work/faults" ]; then
  head -n 20 "$work/faults" >&2
  fail 3 "the bundle in $bundle is damaged: $(wc -l <"$work/faults" | tr -d ' ') faults, the first \
above. Nothing was used. Copy it from the stick again, or take another stick"
fi

cmp -s Cargo.lock "$clone/Cargo.lock" || fail 3 "the bundle belongs to another version of the \
workshop: its Cargo.lock is not that of $clone. Nothing was used. Clone the bundle's: \
git clone '$bundle/workshop.bundle' unblock"

# Two sources would be one too many for cargo.
settings=$clone/.cargo/config.toml
mark='# >>> crates from the bundle'
if ! grep -qxF "$mark" "$settings" && grep -q '^\[source\.' "$settings"; then
  fail 3 "$settings names a source of crates already. Nothing was used. Take its [source.…] out first"
fi

echo "copying the crates to .workshop/crates"
ours=$clone/.workshop
mkdir -p "$ours/bin"
rm -rf "$ours/crates.part"
cp -R crates "$ours/crates.part"
# The copy, too: a stick may fail while it is read.
sed -n 's|^\([0-9a-f]*  \)crates/|\1|p' SHA256SUMS >"$work/crates"
(cd "$ours/crates.part" && check --status "$work/crates") ||
  fail 3 "the crates did not arrive as they are in the bundle. Try again, or take another stick"
rm -rf "$ours/crates"
mv "$ours/crates.part" "$ours/crates"

case $(uname -s) in
Linux) os=linux ;;
Darwin) os=macos ;;
*) os=$(uname -s) ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=x86_64 ;;
aarch64 | arm64) arch=aarch64 ;;
*) arch=$(uname -m) ;;
esac
cli=temporal/$os-$arch/temporal
if [ -f "$cli" ]; then
  echo "copying the Temporal CLI to .workshop/bin/temporal"
  cp "$cli" "$ours/bin/temporal.part"
  chmod 755 "$ours/bin/temporal.part"
  mv "$ours/bin/temporal.part" "$ours/bin/temporal"
else
  echo "the bundle has no Temporal CLI for $os $arch: get it as https://docs.temporal.io/cli tells"
fi

grep -qxF "$mark" "$settings" || { echo && cat crates.toml; } >>"$settings"
echo "cargo looks for crates in .workshop/crates now (.cargo/config.toml)"
echo "next: cargo workshop prefetch, which builds all, and needs no network for it"
