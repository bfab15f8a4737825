//! What holds for every dashboard.

use std::{collections::HashSet, fs};

use serde_json::Value;

use super::{dashboards, file};
use crate::panel::{COLUMNS, DATASOURCE, SCHEMA_VERSION};

/// Each dashboard as Grafana reads it from the committed file.
fn committed() -> Vec<(&'static str, Value)> {
    dashboards()
        .iter()
        .map(|(name, _)| {
            let text = fs::read_to_string(file(name)).unwrap();
            (*name, serde_json::from_str(&text).unwrap())
        })
        .collect()
}

fn panels(dashboard: &Value) -> &Vec<Value> {
    dashboard["panels"].as_array().unwrap()
}

fn title(panel: &Value) -> &str {
    panel["title"].as_str().unwrap()
}

/// All panels except the row headers.
fn with_queries(dashboard: &Value) -> impl Iterator<Item = &Value> {
    panels(dashboard).iter().filter(|panel| panel["type"] != "row")
}

/// Every value of a key `name`, however deep.
fn all<'a>(value: &'a Value, name: &str) -> Vec<&'a Value> {
    match value {
        Value::Array(values) => values.iter().flat_map(|value| all(value, name)).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| {
                let here = (key == name).then_some(value);
                here.into_iter().chain(all(value, name))
            })
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_committed_files_are_what_is_generated() {
    for (name, dashboard) in dashboards() {
        let found = fs::read_to_string(file(name)).unwrap_or_default();
        assert!(
            found == dashboard.json().unwrap(),
            "grafana/dashboards/{name} is not what is generated: cargo run --package dashboards"
        );
    }
    let files = fs::read_dir(file("")).unwrap().count();
    assert_eq!(files, dashboards().len(), "files in grafana/dashboards");
}

#[test]
fn a_schema_that_grafana_13_0_knows_and_nothing_to_be_asked_on_import() {
    for (name, dashboard) in committed() {
        assert_eq!(dashboard["schemaVersion"], SCHEMA_VERSION, "{name}");
        assert!(dashboard.get("__inputs").is_none(), "{name}");
        // An id of the file would collide with those of Grafana's database.
        assert!(dashboard.get("id").is_none(), "{name}");
    }
}

#[test]
fn dashboards_have_uids_of_their_own() {
    let committed = committed();
    let uids: HashSet<_> =
        committed.iter().map(|(_, dashboard)| dashboard["uid"].as_str().unwrap()).collect();
    assert_eq!(uids.len(), committed.len());
    for uid in uids {
        // What Grafana allows in a uid.
        assert!((1..=40).contains(&uid.len()), "{uid}");
        assert!(uid.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{uid}");
    }
}

#[test]
fn links_lead_to_dashboards() {
    let urls: HashSet<_> = committed()
        .iter()
        .map(|(_, dashboard)| format!("/d/{}", dashboard["uid"].as_str().unwrap()))
        .collect();
    for (name, dashboard) in committed() {
        for url in all(&dashboard["links"], "url") {
            assert!(urls.contains(url.as_str().unwrap()), "{name}: {url}");
        }
    }
}

#[test]
fn panels_have_ids_of_their_own() {
    for (name, dashboard) in committed() {
        let ids: HashSet<_> =
            panels(&dashboard).iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels(&dashboard).len(), "{name}");
    }
}

#[test]
fn panels_lie_side_by_side_within_the_grid() {
    for (name, dashboard) in committed() {
        let mut cells = HashSet::new();
        for panel in panels(&dashboard) {
            let [x, y, w, h] = ["x", "y", "w", "h"].map(|k| panel["gridPos"][k].as_u64().unwrap());
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{name}: {}", title(panel));
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(cells.insert(cell), "{name}: {} lies on another panel", title(panel));
            }
        }
    }
}

/// At 1366 x 768 a row of the grid is 38 pixels, and Grafana's own bars take about 100.
#[test]
fn the_lesson_shows_effect_and_cause_on_the_first_screen() {
    let (_, lesson) = &committed()[0];
    let bottom = |panel: &Value| {
        let at = &panel["gridPos"];
        (at["y"].as_u64().unwrap() + at["h"].as_u64().unwrap()) * 38
    };
    let cause = panels(lesson).iter().find(|panel| title(panel).contains("longest poll")).unwrap();
    assert!(bottom(cause) + 100 <= 768);
}

#[test]
fn descriptions_say_what_it_is_how_it_should_be_and_what_it_means_when_not() {
    for (name, dashboard) in committed() {
        for panel in with_queries(&dashboard) {
            let description = panel["description"].as_str().unwrap();
            let (shows, rest) = description.split_once("\n\n**Healthy:** ").unwrap();
            let (healthy, otherwise) = rest.split_once("\n\n**Otherwise:** ").unwrap();
            for part in [shows, healthy, otherwise] {
                assert!(part.ends_with('.'), "{name}: {}: {part:?}", title(panel));
                assert!(!part.contains("  "), "{name}: {}: {part:?}", title(panel));
            }
        }
    }
}

#[test]
fn every_datasource_is_named_by_its_uid() {
    let provisioned = fs::read_to_string(file("../provisioning/datasources/prometheus.yaml"));
    assert!(provisioned.unwrap().contains(&format!("uid: {DATASOURCE}\n")));
    for (name, dashboard) in committed() {
        for datasource in all(&dashboard, "datasource") {
            assert_eq!(datasource["uid"], DATASOURCE, "{name}");
        }
        for panel in with_queries(&dashboard) {
            assert!(panel["datasource"].is_object(), "{name}: {}", title(panel));
        }
    }
}

#[test]
fn times_are_relative() {
    for (name, dashboard) in committed() {
        assert!(dashboard["time"]["from"].as_str().unwrap().starts_with("now-"), "{name}");
        assert_eq!(dashboard["time"]["to"], "now", "{name}");
        for panel in with_queries(&dashboard) {
            for key in ["timeFrom", "timeShift"] {
                assert!(panel.get(key).is_none(), "{name}: {}", title(panel));
            }
        }
    }
}

#[test]
fn queries_ask_something_and_have_names() {
    for (name, dashboard) in committed() {
        for panel in with_queries(&dashboard) {
            let targets = panel["targets"].as_array().unwrap();
            let ids: HashSet<_> = targets.iter().map(|t| t["refId"].as_str().unwrap()).collect();
            assert!(!targets.is_empty(), "{name}: {}", title(panel));
            assert_eq!(ids.len(), targets.len(), "{name}: {}", title(panel));
            for target in targets {
                for key in ["expr", "legendFormat"] {
                    let text = target[key].as_str().unwrap();
                    assert!(!text.trim().is_empty(), "{name}: {}: {key}", title(panel));
                }
            }
        }
        for expr in all(&dashboard["annotations"], "expr") {
            assert!(!expr.as_str().unwrap().trim().is_empty(), "{name}");
        }
    }
}

#[test]
fn the_dashboard_for_any_worker_has_nothing_of_the_workshop() {
    let (_, worker) = &committed()[1];
    assert_eq!(worker["uid"], "temporal-worker");
    for expr in all(worker, "expr") {
        let expr = expr.as_str().unwrap();
        // A colon is in the names of recording rules only.
        for own in ["workshop", "codec", "exercise", "solution", ":"] {
            assert!(!expr.contains(own), "{expr}");
        }
    }
}

/// With a fallback to a number, a metric under another name would look like one that counted nothing, or like
/// a healthy one.
#[test]
fn the_dashboard_for_any_worker_shows_no_number_for_what_is_missing() {
    let (_, worker) = &committed()[1];
    for expr in all(worker, "expr") {
        let expr = expr.as_str().unwrap();
        for fallback in ["vector(", " or ", "absent", "NaN"] {
            assert!(!expr.contains(fallback), "{expr}");
        }
    }
    for panel in with_queries(worker) {
        assert!(all(panel, "noValue").is_empty(), "{}", title(panel));
    }
}

#[test]
fn the_dashboard_for_any_worker_says_what_it_supports() {
    let (_, worker) = &committed()[1];
    let description = worker["description"].as_str().unwrap();
    for part in
        ["Rust", "Python", "TypeScript", ".NET", "Ruby", "Go and Java", "milliseconds", "No data"]
    {
        assert!(description.contains(part), "{part} is not in {description}");
    }
}

/// "| Codec calls in flight | `codec_in_flight` |" in a table whose first column is of panels.
#[test]
fn the_panels_that_the_texts_name_are_there() {
    let committed = committed();
    let titles: HashSet<_> =
        committed.iter().flat_map(|(_, dashboard)| panels(dashboard)).map(title).collect();
    let text = file("../../docs/by-hand.md");
    let text = fs::read_to_string(&text).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("| panel in Grafana |")).skip(2);
    let named: Vec<_> = rows.map_while(|row| row.strip_prefix("| ")?.split(" | ").next()).collect();
    assert!(!named.is_empty());
    for panel in named {
        assert!(titles.contains(panel), "no dashboard has the panel \"{panel}\"");
    }
}
