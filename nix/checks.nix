# What `nix flake check` runs: everything that needs neither crates nor a network. `.ci/run` has
# the rest.
{ pkgs, self }:
let
  inherit (pkgs) lib;

  # Runs `script` in a copy of the checkout.
  check =
    name: packages: script:
    pkgs.runCommand "check-${name}" { nativeBuildInputs = packages; } ''
      cp -r ${self} checkout
      chmod -R u+w checkout
      cd checkout
      ${script}
      touch $out
    '';
in
{
  format = check "format" [ pkgs.cargo pkgs.rustfmt ] ''
    cargo fmt --all --check
  '';

  prometheus = check "prometheus" [ pkgs.prometheus.cli ] ''
    promtool check config stack/prometheus.yml
    for rules in stack/rules/*.yml; do
      # The tests of the rules are beside them.
      [[ $rules == */tests.yml ]] || promtool check rules "$rules"
    done
    promtool test rules stack/rules/tests.yml
  '';

  dashboards = check "dashboards" [ pkgs.jq ] ''
    for dashboard in grafana/dashboards/*.json; do
      echo "$dashboard"
      jq --exit-status --from-file ${./dashboards.jq} "$dashboard"
    done
  '';
}
# `available` is false where the package set has no such program for this machine.
// lib.optionalAttrs pkgs.nixfmt.meta.available {
  nix-format = check "nix-format" [ pkgs.nixfmt ] ''
    find . -name '*.nix' -exec nixfmt --check {} +
  '';
}
// lib.optionalAttrs pkgs.process-compose.meta.available {
  process-compose = check "process-compose" [ pkgs.process-compose ] ''
    process-compose --dry-run --disable-dotenv -e cli-kit/settings.env -f stack/process-compose.yaml
  '';
}
