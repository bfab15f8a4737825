# The programs `workshop`, `starter` and `worker`, and the services of the stack that are of this workspace, as a
# package.
{ pkgs, ... }:
let
  inherit (pkgs.lib) fileset importTOML;
in
pkgs.rustPlatform.buildRustPackage {
  pname = "workshop";
  inherit ((importTOML ../Cargo.toml).workspace.package) version;

  # What cargo reads for this package, and no more: a word changed in a text, in a test or in an
  # attendee's codec must not compile the SDK again. Cargo wants the manifest and one target of every
  # member; a program whose file is missing is an error only when that program is built.
  src = fileset.toSource {
    root = ../.;
    fileset = fileset.unions [
      ../Cargo.lock
      ../Cargo.toml
      ../askama.toml
      ../check-worker/Cargo.toml
      ../check-worker/src
      ../check-worker/templates
      ../cli-kit
      ../codec-server/Cargo.toml
      ../codec-server/src
      ../grafana/Cargo.toml
      ../grafana/src/main.rs
      ../greeting
      ../judge/Cargo.toml
      ../judge/src
      ../key-service/Cargo.toml
      ../key-service/src
      ../kit/Cargo.toml
      ../kit/benches
      ../kit/examples
      ../kit/src
      ../kit/tests/kms/main.rs
      ../kit/vectors
      ../live-page/Cargo.toml
      ../live-page/src
      ../live-page/vendor
      ../recipes/Cargo.toml
      ../recipes/src/lib.rs
      ../sigv4/Cargo.toml
      ../sigv4/src
      ../solutions/00-start/codec.rs
      ../solutions/01-blocking-codec/codec.rs
      ../solutions/02-spawn-blocking/codec.rs
      ../solutions/03-async-codec/codec.rs
      ../solutions/04-beyond-async/codec.rs
      ../solutions/Cargo.toml
      ../solutions/src
      ../src
      ../stack/Cargo.toml
      ../stack/rules
      ../stack/src
    ];
  };
  cargoLock.lockFile = ../Cargo.lock;
  cargoBuildFlags = [
    "--package"
    "workshop"
    "--package"
    "codec-server"
    "--package"
    "key-service"
  ];

  # The tests start Temporal servers and measure time: `.ci/run` runs them, outside of a sandbox.
  doCheck = false;

  meta = {
    description = "Measures what a blocking payload codec does to a Temporal worker";
    mainProgram = "workshop";
  };
}
