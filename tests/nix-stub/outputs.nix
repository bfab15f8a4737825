# For the tests with the stand-in for nixpkgs: evaluates one kind of a flake's outputs, for every system.
kind: systems:
let
  inherit (builtins)
    attrNames
    baseNameOf
    concatMap
    concatStringsSep
    isString
    ;
  about =
    output:
    if output ? program then
      assert isString output.program;
      output.meta.description
    else
      baseNameOf output.drvPath;
  lines =
    system:
    let
      # A formatter has no name.
      outputs = if kind == "formatter" then { default = systems.${system}; } else systems.${system};
    in
    map (name: "${kind}.${name}, ${system}: ${about outputs.${name}}\n") (attrNames outputs);
in
concatStringsSep "" (concatMap lines (attrNames systems))
