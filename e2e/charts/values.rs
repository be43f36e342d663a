//! Values: each is described, does something, and is refused where it is wrong.

use std::{
    fs,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::helm::{Render, chart};

/// A value's path in values.yaml, and what it is there.
type Leaf = (Vec<String>, Value);

fn values(path: &Path) -> Result<Value> {
    Ok(serde_saphyr::from_str(&fs::read_to_string(path)?)?)
}

/// Calls `visit` with every map that has keys, and every value that is none.
fn walk(value: &Value, path: &mut Vec<String>, visit: &mut impl FnMut(&[String], &Value)) {
    visit(path, value);
    for (key, value) in value.as_object().into_iter().flatten() {
        path.push(key.clone());
        walk(value, path, visit);
        path.pop();
    }
}

fn is_map(value: &Value) -> bool {
    value.as_object().is_some_and(|map| !map.is_empty())
}

/// Every value in values.yaml that is no map with keys of its own.
fn leaves() -> Result<Vec<Leaf>> {
    let mut found = Vec::new();
    walk(&values(&chart().join("values.yaml"))?, &mut Vec::new(), &mut |path, value| {
        if !is_map(value) {
            found.push((path.to_vec(), value.clone()));
        }
    });
    Ok(found)
}

/// What helm says, but for what is made anew each time.
fn said(render: &Render) -> Result<String> {
    const CHANCE: [&str; 6] =
        ["ca.crt:", "tls.crt:", "tls.key:", "password:", "link-keys:", "rota/made-for:"];
    let (Ok(text) | Err(text)) = render.outcome()?;
    let lasting = |line: &&str| {
        let line = line.trim_start();
        // Only data is one word behind its key.
        !CHANCE.iter().any(|key| line.starts_with(key))
    };
    Ok(text.lines().filter(lasting).collect::<Vec<_>>().join("\n"))
}

/// Renderings in which, together, every value is another than in values.yaml.
fn bases() -> Vec<Render> {
    let secrets = crate::objects::SERVICES.map(|name| format!(r#""{name}":"tls-{name}""#));
    vec![
        Render::example("everything"),
        Render::example("otherwise"),
        Render::example("production"),
        Render::example("production")
            .set(r#"objectStorage.s3.existingSecret={"name":"s3","accessKey":"a","secretKey":"s"}"#)
            .set(r#"internalTLS.mode="existingSecrets""#)
            .set(format!("internalTLS.existingSecrets={{{}}}", secrets.join(",")))
            .set(r#"gateway.tls={"existingSecret":"door","certManager":{"enabled":false}}"#)
            .set("networkPolicy.enabled=false"),
        Render::example("otherwise")
            .set(r#"objectStorage.directory.existingClaim="mine""#)
            .set(r#"networkPolicy.egress={"enabled":true}"#)
            .set(r#"networkPolicy.egress.database={"to":[{"podSelector":{}}],"ports":[1]}"#)
            .set(r#"networkPolicy.egress.nats={"to":[{"podSelector":{}}],"ports":[2]}"#)
            .set(r#"networkPolicy.egress.tracing={"to":[{"podSelector":{}}],"ports":[3]}"#)
            .set(r#"tracing.endpoint="http://collector:4317""#),
        Render::example("production")
            .set(r#"networkPolicy.egress.objectStorage={"to":[{"podSelector":{}}],"ports":[4]}"#),
    ]
}

/// Shown by certificates alone, which differ anyway: `secrets.rs` looks at them.
const IN_CERTIFICATES: &str = "internalTLS.generated.days";

#[test]
fn every_value_does_something() -> Result<()> {
    let leaves: Vec<Leaf> = leaves()?;
    let bases: Vec<_> =
        bases().into_iter().map(|base| Ok((said(&base)?, base))).collect::<Result<_>>()?;
    let does_something = |(path, default): &Leaf| -> Result<bool> {
        for (before, base) in &bases {
            let reset = base.clone().set(format!("{}={default}", path.join(".")));
            if said(&reset)? != *before {
                return Ok(true);
            }
        }
        Ok(false)
    };
    let (next, idle) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = thread::available_parallelism()?.get();
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(leaf) = leaves.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let works = does_something(leaf);
                    if !works.as_ref().is_ok_and(|works| *works) {
                        let line = format!("{} ({works:?})", leaf.0.join("."));
                        idle.lock().expect("no worker panics").push(line);
                    }
                }
            });
        }
    });
    let idle: Vec<_> =
        idle.into_inner()?.into_iter().filter(|line| !line.starts_with(IN_CERTIFICATES)).collect();
    crate::objects::none(&idle)
}

/// A line of the README's table: a documented key, its default, what it is for.
struct Row {
    path: Vec<String>,
    default: Value,
    text: String,
}

/// The keys of values.yaml that have a comment which begins with `--`.
fn rows() -> Result<Vec<Row>> {
    let text = fs::read_to_string(chart().join("values.yaml"))?;
    let all = values(&chart().join("values.yaml"))?;
    let (mut rows, mut path, mut comment) =
        (Vec::new(), Vec::<(usize, String)>::new(), String::new());
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let line = line.trim_start();
        if let Some(first) = line.strip_prefix("# -- ") {
            first.clone_into(&mut comment);
        } else if let Some(more) = line.strip_prefix("# ").filter(|_| !comment.is_empty()) {
            comment.push(' ');
            comment.push_str(more);
        } else if let Some((key, _)) = line.split_once(':').filter(|_| !line.starts_with('#')) {
            path.retain(|(depth, _)| *depth < indent);
            path.push((indent, key.to_owned()));
            if !comment.is_empty() {
                let path: Vec<_> = path.iter().map(|(_, key)| key.clone()).collect();
                let default = all.pointer(&format!("/{}", path.join("/"))).cloned();
                let default = default.with_context(|| format!("{path:?}"))?;
                rows.push(Row { path, default, text: std::mem::take(&mut comment) });
            }
        } else {
            comment.clear();
        }
    }
    Ok(rows)
}

#[test]
fn every_value_is_described() -> Result<()> {
    let rows = rows()?;
    let leaves = leaves()?;
    let undescribed: Vec<_> = leaves
        .iter()
        .filter(|(path, _)| !rows.iter().any(|row| path.starts_with(&row.path)))
        .map(|(path, _)| path.join("."))
        .collect();
    crate::objects::none(&undescribed)
}

/// The README's table is between this line and the next empty one.
const TABLE: &str = "| Value | Default | |\n|---|---|---|\n";

#[test]
fn the_readme_lists_the_values() -> Result<()> {
    let lines = rows()?.into_iter().map(|row| {
        let default = match &row.default {
            Value::String(text) if text.is_empty() => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        format!("| `{}` | {default} | {} |\n", row.path.join("."), row.text)
    });
    let wanted: String = lines.collect();
    let path = chart().join("README.md");
    let readme = fs::read_to_string(&path)?;
    let (before, rest) = readme.split_once(TABLE).context("the README has no table")?;
    let (table, after) = rest.split_once("\n\n").context("nothing after the table")?;
    if format!("{table}\n") == wanted {
        return Ok(());
    }
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, format!("{before}{TABLE}{wanted}\n{after}"))?;
        return Ok(());
    }
    panic!("charts/rota/README.md does not list the values as they are; set UPDATE_SNAPSHOTS=1");
}

#[test]
fn values_that_do_not_exist_are_refused() -> Result<()> {
    let mut maps = Vec::new();
    walk(&values(&chart().join("values.yaml"))?, &mut Vec::new(), &mut |path, value| {
        // Requests and limits are Kubernetes' to know.
        if is_map(value) && !path.iter().any(|key| key == "resources") {
            maps.push(path.join("."));
        }
    });
    assert!(maps.len() > 40, "{maps:?}");
    let mut render = Render::example("minimal");
    for map in &maps {
        let dot = if map.is_empty() { "" } else { "." };
        render = render.set(format!(r#"{map}{dot}strange="value""#));
    }
    let said = render.refusal()?.context("strange values are taken")?;
    let taken: Vec<_> = maps
        .into_iter()
        .filter(|map| {
            let place = map.replace('.', "/");
            let helm_4 = format!("at '{}{place}':", if place.is_empty() { "" } else { "/" });
            !said.contains(&helm_4)
        })
        .collect();
    assert!(taken.is_empty(), "{taken:?} takes anything: {said}");
    Ok(())
}

#[test]
fn values_that_cannot_work_are_refused_with_what_to_change() -> Result<()> {
    let cases = [
        (r#"publicUrl="http://rota.example.com""#, "/publicUrl"),
        (r#"publicUrl="https://rota.example.com/path""#, "/publicUrl"),
        (r#"database.url="mysql://host/rota""#, "/database/url"),
        (r#"nats.url="""#, "set nats.url"),
        (r#"database.url="""#, "set database.url"),
        (r#"database.existingSecret.name="other""#, "database.url and database.existingSecret"),
        (r#"nats.existingSecret.name="other""#, "nats.url and nats.existingSecret"),
        (r#"objectStorage.s3.bucket="""#, "set objectStorage.s3.bucket"),
        (r#"objectStorage.s3.secretKey="""#, "set objectStorage.s3.existingSecret.name"),
        (r#"objectStorage.mode="directory""#, "set services.deployments.replicas to 1"),
        (r#"administrator.email="admin""#, "/administrator/email"),
        (r#"gateway.service.type="Anything""#, "/gateway/service/type"),
        ("gateway.service.port=70000", "/gateway/service/port"),
        ("gateway.tls.certManager.enabled=true", "set gateway.tls.certManager.issuerRef"),
        ("gateway.tlsRoute.enabled=true", "set gateway.tlsRoute.parentRefs"),
        (r#"internalTLS.mode="existingSecrets""#, "set internalTLS.existingSecrets.accounts"),
        ("defaults.replicas=-1", "/defaults/replicas"),
        ("services.gateway.settings.ROTA_MAX_REQUESTS=8192", "/services/gateway/settings"),
        (r#"services.gateway.settings.ROTA_NOTHING="1""#, "/services/gateway/settings"),
        (r#"services.gateway.settings.ROTA_TLS_CA="x""#, "/services/gateway/settings"),
        (
            r#"services.inventory.autoscaling={"enabled":true,"maxReplicas":1}"#,
            "maxReplicas of inventory",
        ),
        ("monitoring.podMonitor.enabled=true", "set networkPolicy.monitoringFrom"),
    ];
    for (value, words) in cases {
        let said = Render::example("minimal").set(value).refusal()?;
        let said = said.with_context(|| format!("{value} is taken"))?;
        assert!(said.contains(words), "{value}: {said}");
    }
    let said = Render::new().refusal()?.context("nothing at all is taken")?;
    assert!(said.contains("publicUrl"), "{said}");
    Ok(())
}
