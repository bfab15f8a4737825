# The dev shell: everything that the workshop needs, and three lines on how to start.
# nixpkgs' rust-analyzer brings the sources of the standard library itself, so no RUST_SRC_PATH.
{ pkgs, ... }:
let
  tools = import ./tools.nix { inherit pkgs; };
in
pkgs.mkShell {
  packages =
    tools.rust
    ++ tools.stack
    ++ [
      pkgs.clippy
      pkgs.git
      pkgs.jq
      pkgs.rust-analyzer
      pkgs.rustfmt
    ];

  # Only where a person reads it: the output of `nix develop -c …` belongs to that command.
  shellHook = ''
    if [[ $- == *i* ]]; then
      echo 'Here: cargo with clippy, rustfmt and rust-analyzer; temporal, prometheus, promtool, grafana, process-compose, jq.'
      echo 'The stack, Temporal to Grafana: nix run .#stack, or cargo workshop stack'
      echo 'Exercise 1: cargo run --bin worker'
    fi
  '';
}
