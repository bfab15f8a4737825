# What the workshop needs from nixpkgs, named once for the dev shell and the apps.
{ pkgs }:
{
  # `cargo run` needs a C compiler beside Rust: as the linker, and for `ring`.
  rust = [
    pkgs.cargo
    pkgs.rustc
    pkgs.stdenv.cc
  ];
  # What the stack starts, but for the programs of this workspace, which it builds. `promtool` is an output of its own in nixpkgs.
  stack = [
    pkgs.grafana
    pkgs.process-compose
    pkgs.prometheus
    pkgs.prometheus.cli
    pkgs.temporal-cli
  ];
}
