# The programs `workshop` and `starter` as a package.
{ pkgs, ... }:
let
  inherit (pkgs.lib) fileset importTOML;
in
pkgs.rustPlatform.buildRustPackage {
  pname = "workshop";
  inherit ((importTOML ../Cargo.toml).workspace.package) version;

  # What cargo reads for this package, and no more: a word changed in a README or in an attendee's
  # codec must not compile the SDK anew. Cargo wants the manifest and one target of every member.
  src = fileset.toSource {
    root = ../.;
    fileset = fileset.unions [
      ../Cargo.lock
      ../Cargo.toml
      ../benches
      ../exercises/Cargo.toml
      ../exercises/worker.rs
      ../grafana/Cargo.toml
      ../grafana/src
      ../kit
      ./stack.env
      ../solutions
      ../src
      ../stack
      ../templates
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = [
    "--package"
    "workshop"
  ];

  # The tests start Temporal servers and measure time: `.ci/run` runs them, outside of a sandbox.
  doCheck = false;

  meta = {
    description = "Measures what a blocking payload codec does to a Temporal worker";
    mainProgram = "workshop";
  };
}
