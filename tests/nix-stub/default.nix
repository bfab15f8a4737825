# Part of the stand-in for nixpkgs: the packages and builders that the flake uses, and no others.
{ lib, system }:
let
  bash = "/bin/bash";
  # Empty in a pure evaluation, which sees nothing of the machine.
  hostPath = builtins.getEnv "PATH";
  defaultPath = "/usr/local/bin:/usr/bin:/bin";

  build =
    {
      name,
      script,
      packages ? [ ],
      meta ? { },
      ...
    }@arguments:
    derivation (
      removeAttrs arguments [
        "script"
        "packages"
        "meta"
      ]
      // {
        inherit system;
        builder = bash;
        # `exit`: bash would put the last command in its own place, and Nix was seen to kill such.
        args = [
          "-euc"
          "export PATH=${lib.makeBinPath packages}:${defaultPath}\n${script}\nexit 0"
        ];
      }
    )
    // {
      inherit meta;
    };

  # Finds the program it is named after when it is called, on the caller's PATH first: a pure
  # evaluation can't know where it is.
  wrapper = builtins.toFile "wrapper" ''
    #!${bash}
    # A build has no home; rustup's programs look for the toolchain there.
    [[ -d ''${HOME-} ]] || { unset HOME; export HOME=~; }
    program=''${0##*/}
    folders=$PATH:${hostPath}:$HOME/.cargo/bin:${defaultPath}
    IFS=:
    for folder in $folders; do
      # Not this file again.
      [[ $folder == ${builtins.storeDir}/* ]] && continue
      [[ -x $folder/$program ]] && exec "$folder/$program" "$@"
    done
    echo "$program is not installed on this machine" >&2
    exit 127
  '';

  # Programs of the machine, under the name of a package.
  host =
    name: programs:
    build {
      inherit name;
      script = ''
        mkdir -p $out/bin
        for program in ${toString programs}; do
          cp ${wrapper} $out/bin/$program
          chmod +x $out/bin/$program
        done
      '';
      meta = {
        mainProgram = builtins.head programs;
        # Known only in an impure evaluation.
        available = builtins.any (folder: builtins.pathExists "${folder}/${builtins.head programs}") (
          builtins.filter (folder: builtins.isString folder && folder != "") (builtins.split ":" hostPath)
        );
      };
    };
in
{
  inherit lib;

  cargo = host "cargo" [ "cargo" ];
  clippy = host "clippy" [
    "cargo-clippy"
    "clippy-driver"
  ];
  git = host "git" [ "git" ];
  grafana = host "grafana" [ "grafana" ];
  jq = host "jq" [ "jq" ];
  libiconv = build {
    name = "libiconv";
    script = "mkdir -p $out/lib";
  };
  nixfmt = host "nixfmt" [ "nixfmt" ];
  process-compose = host "process-compose" [ "process-compose" ];
  prometheus = host "prometheus" [ "prometheus" ] // {
    cli = host "prometheus-cli" [ "promtool" ];
  };
  rust-analyzer = host "rust-analyzer" [ "rust-analyzer" ];
  rustc = host "rustc" [
    "rustc"
    "rustdoc"
  ];
  rustfmt = host "rustfmt" [
    "rustfmt"
    "cargo-fmt"
  ];
  temporal-cli = host "temporal-cli" [ "temporal" ];
  # What `nix develop` starts.
  bashInteractive = host "bash-interactive" [ "bash" ];

  stdenv = {
    cc = host "cc" [
      "cc"
      "ar"
    ];
    hostPlatform.isDarwin = system == "aarch64-darwin";
  };

  # treefmt, as far as `nix fmt` needs it.
  nixfmt-tree = build {
    name = "nixfmt-tree";
    script = ''
      mkdir -p $out/bin
      printf '#!/bin/bash\nfind "''${@:-.}" -name "*.nix" -exec nixfmt {} +\n' > $out/bin/treefmt
      chmod +x $out/bin/treefmt
    '';
    meta.mainProgram = "treefmt";
  };

  runCommand =
    name: arguments: script:
    build {
      inherit name script;
      packages = arguments.nativeBuildInputs;
    };

  writeShellApplication =
    {
      name,
      runtimeInputs,
      text,
    }:
    build {
      inherit name;
      text = ''
        #!${bash}
        set -o errexit
        set -o nounset
        set -o pipefail
        export PATH="${lib.makeBinPath runtimeInputs}:$PATH"
        ${text}
      '';
      passAsFile = [ "text" ];
      script = ''
        mkdir -p $out/bin
        cp $textPath $out/bin/${name}
        chmod +x $out/bin/${name}
        bash -n $out/bin/${name}
      '';
      meta.mainProgram = name;
    };

  # `nix develop` asks for a builder called bash, and for a `setup` in `stdenv`.
  mkShell =
    { packages, shellHook }:
    build {
      name = "shell";
      inherit shellHook;
      stubPath = lib.makeBinPath packages;
      stdenv = build {
        name = "stdenv";
        script = "mkdir $out; cp ${./setup.sh} $out/setup";
      };
      script = "touch $out";
    };

  # The machine's cargo, with the crates that it has or can get. nixpkgs vendors them.
  rustPlatform.buildRustPackage =
    {
      pname,
      version,
      src,
      cargoLock,
      cargoBuildFlags,
      doCheck,
      meta,
    }:
    build {
      name = "${pname}-${version}";
      inherit meta src;
      packages = [ (host "cargo" [ "cargo" ]) ];
      script = ''
        cp -r $src source
        chmod -R u+w source
        cd source
        cmp Cargo.lock ${cargoLock.lockFile}
        CARGO_TARGET_DIR=$TMPDIR/target cargo build --release --locked ${toString cargoBuildFlags}
        mkdir -p $out/bin
        find $TMPDIR/target/release -maxdepth 1 -type f -executable -exec cp {} $out/bin \;
      '';
    };
}
