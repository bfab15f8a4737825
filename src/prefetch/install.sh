#!/bin/sh
# Installs a bundle into a clone of the workshop: sh install.sh [CLONE [BUNDLE]]
# `cargo workshop prefetch --from BUNDLE` runs this script, too.
# Exit codes: 0 installed; 2 wrong usage; 3 the bundle or the clone can't be used.
set -eu

say() { printf '%s\n' "$@" >&2; }
fail() {
  code=$1
  shift
  printf 'error: ' >&2
  say "$@"
  exit "$code"
}
absolute() { CDPATH='' cd -- "$1" 2>/dev/null && pwd; }

clone=$(absolute "${1:-.}") || fail 2 "there is no folder ${1:-.}"
given=${2:-$(dirname -- "$0")}
bundle=$(absolute "$given") || fail 2 "there is no folder $given"
[ -f "$clone/stack/process-compose.yaml" ] || fail 2 "$clone is not the workshop's folder." \
  "Change to your clone of the workshop, or make one:" \
  "git clone '$bundle/workshop.bundle' unblock"
for program in tar gzip; do
  command -v "$program" >/dev/null || fail 3 "the program $program is missing: install it first"
done
if command -v sha256sum >/dev/null; then
  sha256() { sha256sum; }
elif command -v shasum >/dev/null; then
  sha256() { shasum -a 256; }
else
  fail 3 "neither sha256sum nor shasum is installed, so the bundle can't be checked"
fi

archive=$bundle/dependencies.tar.gz
[ -f "$bundle/CHECKSUM" ] || fail 3 "there is no complete bundle in $bundle:" \
  "CHECKSUM is missing. It is written last. Nothing was installed."
say "checking $archive"
# BusyBox's sha256sum has no --status, so the sums are compared as text.
{ sum=$(sha256 <"$archive") &&
  [ "${sum%% *}  dependencies.tar.gz" = "$(cat "$bundle/CHECKSUM")" ]; } ||
  fail 3 "the bundle in $bundle is damaged:" \
    "dependencies.tar.gz does not match CHECKSUM. Nothing was installed." \
    "Copy the bundle again, or use another stick."
tar -xzOf "$archive" Cargo.lock 2>/dev/null | cmp -s - "$clone/Cargo.lock" ||
  fail 3 "the bundle belongs to another version of the workshop:" \
    "its Cargo.lock is not the one in $clone." \
    "Nothing was installed. Clone the version that the bundle belongs to:" \
    "git clone '$bundle/workshop.bundle' unblock"

settings=$clone/.cargo/config.toml
configured=no
if grep -qxF 'directory = ".workshop/vendor"' "$settings"; then
  configured=yes
elif grep -q '^[[:space:]]*\[source' "$settings"; then
  fail 3 "$settings names a source of crates already." \
    "Nothing was installed. Remove its [source.…] sections first."
fi

case $(uname -s) in
Linux) os=linux ;;
Darwin) os=macos ;;
*) os= ;;
esac
case $(uname -m) in
x86_64 | amd64) arch=x86_64 ;;
aarch64 | arm64) arch=aarch64 ;;
*) arch= ;;
esac
# The archive has a folder for each system of the workshop. It is empty where the bundle lacks the CLI.
set -- vendor
[ -z "$os" ] || [ -z "$arch" ] || set -- vendor "temporal/$os-$arch"
cli=temporal/$os-$arch/temporal

# Everything is unpacked here, and moved to its place when it is complete.
ours=$clone/.workshop
part=$ours/bundle.part
trap 'rm -rf "$part"' EXIT
trap 'exit 130' HUP INT TERM
say "unpacking crates and the Temporal CLI to $ours"
# -o: as root, tar would set the owners of another system.
# The times: cargo builds vendored crates again when they are newer than what it built. These never are:
# not when a bundle is installed again, and not with a clock that is slow. -m: or tar warns of such a clock.
{ rm -rf "$part" && mkdir -p "$part" "$ours/bin" && tar -xzomf "$archive" -C "$part" "$@" &&
  find "$part/vendor" -exec touch -t 200001010000 {} +; } ||
  fail 3 "the bundle could not be unpacked to $part. Nothing was installed."
{ rm -rf "$ours/vendor" && mv "$part/vendor" "$ours/vendor"; } || fail 3 "can't write $ours/vendor"
if [ -f "$part/$cli" ]; then
  # The name is replaced, not the content: a server may run this program now.
  { chmod 755 "$part/$cli" && mv -f "$part/$cli" "$ours/bin/temporal"; } ||
    fail 3 "can't write $ours/bin/temporal"
else
  say "The bundle has no Temporal CLI for this system ($(uname -sm))." \
    "Install it: https://docs.temporal.io/cli"
fi
if [ "$configured" = no ]; then
  { cp "$settings" "$part/config.toml" && cat >>"$part/config.toml" <<'SETTINGS' &&

# The crates of an offline bundle. To undo this: git checkout .cargo/config.toml
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = ".workshop/vendor"
SETTINGS
    mv -f "$part/config.toml" "$settings"; } || fail 3 "can't write $settings"
fi
say "Cargo takes its crates from .workshop/vendor now (see .cargo/config.toml)." \
  "Next: cargo workshop prefetch. It builds everything, and needs no network."
