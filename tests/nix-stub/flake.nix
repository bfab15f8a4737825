# A stand-in for nixpkgs where nixpkgs can't be had: a package set that wraps this machine's programs.
{
  description = "A stand-in for nixpkgs that wraps the programs of this machine";

  outputs =
    { self }:
    let
      lib = import ./lib.nix;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ] (system: import ./default.nix { inherit lib system; });
    };
}
