# Part of the stand-in for nixpkgs: the functions of `lib` that the flake calls, in their simplest form.
let
  inherit (builtins)
    all
    concatStringsSep
    filter
    isPath
    listToAttrs
    pathExists
    substring
    stringLength
    ;
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  search = folder: packages: concatStringsSep ":" (map (package: "${package}/${folder}") packages);
in
{
  genAttrs =
    names: f:
    listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );
  optionalAttrs = condition: attributes: if condition then attributes else { };
  optionalString = condition: text: if condition then text else "";
  importTOML = file: fromTOML (builtins.readFile file);
  makeBinPath = search "bin";
  makeLibraryPath = search "lib";
  getExe = package: "${package}/bin/${package.meta.mainProgram}";

  fileset = {
    unions =
      paths:
      assert all (path: isPath path && pathExists path) paths;
      paths;
    # The chosen paths, all that is below them, and the folders on the way to them.
    toSource =
      { root, fileset }:
      builtins.path {
        name = "source";
        path = root;
        filter =
          path: _:
          filter (
            chosen: hasPrefix "${toString chosen}/" "${path}/" || hasPrefix "${path}/" "${toString chosen}/"
          ) fileset != [ ];
      };
  };
}
