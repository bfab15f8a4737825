//! A panel, a dashboard, and the JSON that Grafana reads.
//!
//! A panel defines only what is specific to it. The datasource, ids, places on the grid, legends, tooltips
//! and colours are added here, the same way for all.

use serde_json::{Value, json};

/// The uid of the datasource in `provisioning/datasources/prometheus.yaml`.
pub const DATASOURCE: &str = "prometheus";

/// The newest schema that Grafana 13.0 writes. Grafana would convert an older one each time it loads the
/// dashboard.
pub const SCHEMA_VERSION: u64 = 42;

/// Columns of Grafana's grid.
pub const COLUMNS: u64 = 24;

/// The version whose panel options are written below.
const PLUGIN_VERSION: &str = "13.0.0";

/// A query to Prometheus, and the legend of its lines.
pub struct Query {
    /// PromQL.
    pub expr: String,
    /// What a line is called; `{{label}}` is replaced by the label's value.
    pub legend: &'static str,
}

/// Short for a [`Query`].
pub fn query(expr: impl Into<String>, legend: &'static str) -> Query {
    Query { expr: expr.into(), legend }
}

/// How a panel draws what its queries return.
pub enum View {
    /// Lines over time, from zero up.
    Lines,
    /// Lines over time on a logarithmic axis, which shows milliseconds beside minutes.
    Log {
        /// Where the axis starts. Above zero, which a logarithmic axis can't show.
        min: f64,
        /// Where the axis ends.
        max: f64,
    },
    /// The last value of each line, as a number.
    Number {
        /// The text for a line without a value.
        none: &'static str,
    },
    /// The names of the lines that exist now.
    Names {
        /// The text when no line exists.
        none: &'static str,
    },
}

/// A panel. The three parts of its description are separate fields, so a panel without one of them does not
/// compile.
pub struct Panel {
    /// The title above it.
    pub title: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// What it looks like when everything is healthy.
    pub healthy: &'static str,
    /// What it means when it does not.
    pub otherwise: &'static str,
    /// Grafana's name of the values' unit.
    pub unit: &'static str,
    /// How it draws.
    pub view: View,
    /// Values from this one on are red, those below it green.
    pub limit: Option<f64>,
    /// What it asks.
    pub queries: Vec<Query>,
}

/// A group of panels of the same size.
pub struct Row {
    /// The line above them, if there is one.
    pub title: Option<&'static str>,
    /// Columns of a panel, of the grid's 24.
    pub width: u64,
    /// Height of a panel, in rows of the grid (about 38 pixels each).
    pub height: u64,
    /// The panels, from left to right and then down.
    pub panels: Vec<Panel>,
}

/// A drop-down list at the top of a dashboard.
pub struct Variable {
    /// `$name` in a query.
    pub name: &'static str,
    /// What the list is called.
    pub label: &'static str,
    /// The series whose label gives the values.
    pub series: &'static str,
    /// The regular expression that "All" stands for: `.+` for series that have the label, `.*` for
    /// those without it as well.
    pub all: &'static str,
}

/// Marks in all panels, at the times that a series has as its values.
pub struct Annotation {
    /// What the marks are called.
    pub name: &'static str,
    /// Where they are: Unix time in milliseconds.
    pub expr: String,
    /// What a mark is called; `{{label}}` as in a legend.
    pub title: &'static str,
    /// What a mark says below its title.
    pub text: &'static str,
}

/// A dashboard.
pub struct Dashboard {
    /// Its name in links.
    pub uid: &'static str,
    /// Its title.
    pub title: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// How often it asks again.
    pub refresh: &'static str,
    /// How far it looks back: `15m`.
    pub span: &'static str,
    /// What can be chosen.
    pub variables: Vec<Variable>,
    /// What is marked.
    pub annotations: Vec<Annotation>,
    /// Links to other dashboards: uid and title.
    pub links: Vec<(&'static str, &'static str)>,
    /// Its panels.
    pub rows: Vec<Row>,
}

impl Dashboard {
    /// The file's content.
    ///
    /// # Errors
    /// When `serde_json` can't write it, which does not happen with these types.
    pub fn json(&self) -> anyhow::Result<String> {
        let mut value = self.value();
        // The order of keys must not depend on the serde_json features that other packages of the workspace
        // enable.
        value.sort_all_objects();
        Ok(serde_json::to_string_pretty(&value)? + "\n")
    }

    /// The dashboard in Grafana's form.
    pub fn value(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "schemaVersion": SCHEMA_VERSION,
            "editable": true,
            "graphTooltip": 1, // one crosshair through all panels
            "refresh": self.refresh,
            "time": { "from": format!("now-{}", self.span), "to": "now" },
            "timepicker": { "refresh_intervals": ["1s", "2s", "5s", "10s", "30s", "1m"] },
            "timezone": "browser",
            "tags": ["temporal"],
            "links": self.links.iter().map(|(uid, title)| link(uid, title)).collect::<Vec<_>>(),
            "templating": {
                "list": self.variables.iter().map(Variable::value).collect::<Vec<_>>(),
            },
            "annotations": {
                "list": self.annotations.iter().map(Annotation::value).collect::<Vec<_>>(),
            },
            "panels": self.panels(),
        })
    }

    /// All panels, each with an id and a place.
    fn panels(&self) -> Vec<Value> {
        let mut panels = Vec::new();
        let mut id = 0;
        let mut y = 0;
        let mut add = |mut panel: Value, x: u64, y: u64, w: u64, h: u64| {
            id += 1;
            panel["id"] = json!(id);
            panel["gridPos"] = json!({ "x": x, "y": y, "w": w, "h": h });
            panels.push(panel);
        };
        for row in &self.rows {
            if let Some(title) = row.title {
                let header = json!({
                    "type": "row", "title": title, "collapsed": false, "panels": [],
                });
                add(header, 0, y, COLUMNS, 1);
                y += 1;
            }
            let abreast = COLUMNS / row.width;
            for (at, panel) in (0..).zip(&row.panels) {
                let (x, down) = (at % abreast * row.width, at / abreast * row.height);
                add(panel.value(), x, y + down, row.width, row.height);
            }
            y += (row.panels.len() as u64).div_ceil(abreast) * row.height;
        }
        panels
    }
}

impl Panel {
    fn value(&self) -> Value {
        let Self { title, shows, healthy, otherwise, unit, view, queries, .. } = self;
        let (kind, options) = match view {
            View::Lines | View::Log { .. } => ("timeseries", lines()),
            // A number without a threshold has no colour.
            View::Number { .. } if self.limit.is_none() => ("stat", number("none", "auto")),
            View::Number { .. } => ("stat", number("value", "auto")),
            View::Names { .. } => ("stat", number("none", "name")),
        };
        let targets = queries
            .iter()
            .zip('A'..='Z')
            .map(|(query, id)| query.value(id, matches!(view, View::Names { .. })))
            .collect::<Vec<_>>();
        json!({
            "type": kind,
            "title": title,
            "description":
                format!("{shows}\n\n**Healthy:** {healthy}\n\n**Otherwise:** {otherwise}"),
            "datasource": datasource(),
            "pluginVersion": PLUGIN_VERSION,
            "fieldConfig": { "defaults": self.field(unit), "overrides": [] },
            "options": options,
            "targets": targets,
        })
    }

    /// Unit, axis, colours.
    fn field(&self, unit: &str) -> Value {
        let green = json!({ "color": "green", "value": null });
        let steps = match self.limit {
            Some(limit) => json!([green, { "color": "red", "value": limit }]),
            None => json!([green]),
        };
        let mut field = json!({
            "unit": unit,
            "thresholds": { "mode": "absolute", "steps": steps },
            "color": { "mode": "thresholds" },
        });
        let axis = match self.view {
            View::Number { none } | View::Names { none } => {
                field["noValue"] = json!(none);
                return field;
            }
            View::Lines => {
                field["min"] = json!(0);
                json!({ "type": "linear" })
            }
            View::Log { min, max } => {
                field["min"] = json!(min);
                field["max"] = json!(max);
                json!({ "type": "log", "log": 10 })
            }
        };
        // By name: a codec has the same colour in every panel.
        field["color"] = json!({ "mode": "palette-classic-by-name" });
        field["custom"] = json!({
            "drawStyle": "line",
            "lineWidth": 2,
            "fillOpacity": 0,
            // A single sample between two gaps has no line, but must be visible.
            "showPoints": "auto",
            "pointSize": 4,
            // A quantile has no value while nothing happens. Gaps of less than a minute are bridged; a worker
            // that has stopped leaves a gap.
            "spanNulls": 60_000,
            "scaleDistribution": axis,
            "thresholdsStyle": { "mode": if self.limit.is_some() { "line" } else { "off" } },
        });
        field
    }
}

impl Query {
    fn value(&self, id: char, instant: bool) -> Value {
        json!({
            "refId": id,
            "datasource": datasource(),
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.legend,
            "instant": instant,
            "range": !instant,
        })
    }
}

impl Variable {
    fn value(&self) -> Value {
        let query = format!("label_values({}, {})", self.series, self.name);
        json!({
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": datasource(),
            "definition": query,
            // 1: values of a label.
            "query": { "query": query, "qryType": 1, "refId": self.name },
            // 2: asked again with the time range, so that a new codec appears by itself.
            "refresh": 2,
            "sort": 1, // by the alphabet
            "multi": true,
            "includeAll": true,
            // Not the list of known values, which would exclude new ones.
            "allValue": self.all,
            "current": { "text": ["All"], "value": ["$__all"] },
            "options": [],
        })
    }
}

impl Annotation {
    fn value(&self) -> Value {
        json!({
            "name": self.name,
            "datasource": datasource(),
            "enable": true,
            "iconColor": "blue",
            "target": { "refId": "Anno", "expr": self.expr },
            "titleFormat": self.title,
            "textFormat": self.text,
            "tagKeys": "",
            "useValueForTime": true,
        })
    }
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": DATASOURCE })
}

fn link(uid: &str, title: &str) -> Value {
    json!({
        "type": "link",
        "title": title,
        "url": format!("/d/{uid}"),
        "icon": "dashboard",
        "tooltip": "",
        "tags": [],
        "asDropdown": false,
        "includeVars": false,
        "keepTime": true,
        "targetBlank": false,
    })
}

fn lines() -> Value {
    json!({
        "legend": {
            "showLegend": true, "displayMode": "list", "placement": "bottom", "calcs": [],
        },
        "tooltip": { "mode": "multi", "sort": "desc" },
    })
}

fn number(color: &str, text: &str) -> Value {
    json!({
        "reduceOptions": { "calcs": ["lastNotNull"], "fields": "", "values": false },
        "colorMode": color,
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": text,
        "wideLayout": true,
        "showPercentChange": false,
        "percentChangeColorMode": "standard",
    })
}
