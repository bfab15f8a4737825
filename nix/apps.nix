# What `nix run` starts.
{ pkgs, ... }@args:
let
  inherit (pkgs) lib;
  tools = import ./tools.nix { inherit pkgs; };

  app = description: package: {
    type = "app";
    program = lib.getExe package;
    meta = { inherit description; };
  };

  # Runs the code of the checkout, and not of a package: attendees edit their codec, and cargo
  # builds what they changed in seconds, where a Nix build would compile the SDK again each time.
  # For the same reason the stack is run this way: it links no SDK, so it starts in a new checkout
  # before the SDK was ever compiled. Its codec server and key service are built likewise, by the stack.
  fromCheckout =
    name: packages: command:
    pkgs.writeShellApplication {
      inherit name;
      runtimeInputs = packages;
      text = ''
        folder=$PWD
        until [[ -f $folder/Cargo.toml && $(<"$folder/Cargo.toml") == *'name = "workshop"'* ]]; do
          if [[ -z $folder ]]; then
            echo "${name} runs the code of a checkout of the workshop, and $PWD is not in one: cd to where you cloned it" >&2
            exit 3
          fi
          folder=''${folder%/*}
        done
      ''
      # Rust's standard library links iconv, which on macOS is not part of the C library.
      + lib.optionalString pkgs.stdenv.hostPlatform.isDarwin ''
        export LIBRARY_PATH=${lib.makeLibraryPath [ pkgs.libiconv ]}''${LIBRARY_PATH:+:$LIBRARY_PATH}
      ''
      + ''
        exec ${command} "$@"
      '';
    };

  package = import ./package.nix args;

  # `compare` starts servers of its own, and takes the first `temporal` on PATH; `stack` takes the first
  # `codec-server` and `key-service`, which the package has.
  workshop = pkgs.writeShellApplication {
    name = "workshop";
    runtimeInputs = [
      package
      pkgs.temporal-cli
    ];
    text = ''
      exec ${lib.getExe package} "$@"
    '';
  };
in
{
  default = app "Compare the codecs: nix run . -- compare" workshop;
  branches = app "Write the steps as branches of your repository" (
    fromCheckout "branches" (
      tools.rust ++ [ pkgs.git ]
    ) "cargo run --package workshop --bin workshop -- branches"
  );
  check-worker = app "Find what holds up a Temporal worker, from its metrics" (
    fromCheckout "check-worker" tools.rust "cargo run --package check-worker --"
  );
  codec-server = app "Decrypt payloads for Temporal's Web UI and CLI" (
    fromCheckout "codec-server" tools.rust "cargo run --package codec-server --"
  );
  key-service = app "A key service that speaks the protocol of AWS KMS, and can be slow" (
    fromCheckout "key-service" tools.rust "cargo run --package key-service --"
  );
  stack = app "Start the stack, Temporal to Grafana, and wait until all is healthy" (
    fromCheckout "stack" (tools.rust ++ tools.stack) "cargo run --package stack --"
  );
  starter = app "Start workflows, and tell how long they took" (
    fromCheckout "starter" tools.rust "cargo run --package workshop --bin starter --"
  );
  worker = app "Run the worker with your codec of the current exercise" (
    fromCheckout "worker" tools.rust "cargo run --package workshop --bin worker --"
  );
}
