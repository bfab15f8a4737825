# Part of the stand-in for nixpkgs: what `nix develop` reads of a dev shell's environment.
export PATH="$stubPath:$PATH"
: "${outputs:=out}"
runHook() { :; }
