# What every dashboard must be: its panels have ids of their own, and ask our Prometheus only.
# An error says what is wrong, and with which.
def panels: .panels[]? | (., .panels[]?);

[panels | .id] as $ids
| [.. | objects | select(has("datasource")) | .datasource | .uid? // .] as $sources
# Grafana's own annotations come from Grafana.
| ($sources - ["prometheus", "-- Grafana --"]) as $others
| if $ids == [] then error("it has no panels")
  elif any($ids[]; type != "number") then error("a panel has no id")
  elif ($ids | unique | length) != ($ids | length) then error("two panels have the same id: \($ids)")
  elif $sources == [] then error("no panel has a datasource")
  elif $others != [] then error("not the datasource with the uid prometheus: \($others | unique)")
  else "\($ids | length) panels"
  end
