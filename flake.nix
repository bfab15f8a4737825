{
  description = "Unblock: what a blocking payload codec does to a Temporal worker";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-26.05";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
        "aarch64-darwin"
      ];
      forEach =
        f:
        nixpkgs.lib.genAttrs systems (
          system:
          f {
            inherit self;
            pkgs = nixpkgs.legacyPackages.${system};
          }
        );
    in
    {
      devShells = forEach (args: {
        default = import ./nix/shell.nix args;
      });
      packages = forEach (args: {
        default = import ./nix/package.nix args;
      });
      apps = forEach (import ./nix/apps.nix);
      checks = forEach (import ./nix/checks.nix);
      formatter = forEach ({ pkgs, ... }: pkgs.nixfmt-tree);
    };
}
