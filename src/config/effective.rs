//! Every setting with its value and where that comes from, for whoever asks what is in force.

use figment::{Figment, Source, value::Value};

use super::{
    Error, Sources,
    layers::{self, PREFIX},
    proxy,
};

/// Settings whose values are shown to nobody. `*` stands for a name.
const SECRETS: [&str; 7] = [
    "webhook_url",
    "portals.*.webhook_url",
    "oauth.client_secret",
    "store.keys",
    "outbound.proxy",
    "telemetry.otlp_headers",
    "telemetry.proxy",
];

/// What stands for a secret.
const MASK: &str = "\"***\"";

/// A setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its path.
    pub path: String,
    /// Its value as TOML; secrets are masked.
    pub value: String,
    /// Where that comes from: the manual, the file, a variable or a flag.
    pub source: String,
}

/// All settings in force, by path.
///
/// # Errors
///
/// When a layer cannot be read.
pub fn effective(sources: &Sources) -> Result<Vec<Setting>, Error> {
    let figment = layers::stack(sources)?;
    let root: Value = figment
        .extract()
        .map_err(|error| Error::Malformed(layers::describe(&error)))?;
    let mut settings = Vec::new();
    collect(&figment, sources, &mut Vec::new(), &root, &mut settings);
    settings.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(settings)
}

fn collect<'a>(
    figment: &Figment,
    sources: &Sources,
    path: &mut Vec<&'a str>,
    value: &'a Value,
    settings: &mut Vec<Setting>,
) {
    if let Value::Dict(_, members) = value {
        for (name, member) in members {
            path.push(name);
            collect(figment, sources, path, member, settings);
            path.pop();
        }
        return;
    }
    let name = path.join(".");
    let shown = toml(value);
    let is_given = shown != "\"\"";
    let usual = if is_given {
        None
    } else {
        proxy::usual_for(&name, sources)
    };
    settings.push(Setting {
        value: match usual {
            _ if is_secret(path) && (is_given || usual.is_some()) => MASK.to_owned(),
            Some((_, value)) => format!("{value:?}"),
            None => shown,
        },
        source: match usual {
            Some((variable, _)) => format!("environment {variable}"),
            None => source(figment, value, &name, sources),
        },
        path: name,
    });
}

/// Whether a value is shown to nobody.
fn is_secret(path: &[&str]) -> bool {
    SECRETS.iter().any(|secret| {
        let parts: Vec<_> = secret.split('.').collect();
        parts.len() == path.len()
            && parts
                .iter()
                .zip(path)
                .all(|(part, name)| *part == "*" || part == name)
    })
}

fn source(figment: &Figment, value: &Value, path: &str, sources: &Sources) -> String {
    let metadata = figment.get_metadata(value.tag());
    let Some(metadata) = metadata else {
        return "default".to_owned();
    };
    if let Some(Source::File(file)) = &metadata.source {
        return format!("file {}", file.display());
    }
    match &*metadata.name {
        layers::ENVIRONMENT => {
            let name = path.to_ascii_uppercase().replace('.', "__");
            let name = format!("{PREFIX}{name}");
            // As it is written there.
            let mut set = sources.environment.iter().map(|(key, _)| key);
            let written = set.find(|key| key.eq_ignore_ascii_case(&name));
            format!("environment {}", written.unwrap_or(&name))
        }
        layers::FLAGS => "flag".to_owned(),
        _ => "default".to_owned(),
    }
}

/// A value as it is written in a file.
fn toml(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Char(_, letter) => format!("{:?}", letter.to_string()),
        Value::Bool(_, truth) => truth.to_string(),
        Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
            (Some(whole), _) => whole.to_string(),
            (None, real) => real.unwrap_or_default().to_string(),
        },
        Value::Array(_, items) => {
            let items: Vec<_> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Empty(..) | Value::Dict(..) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULTS;

    #[test]
    fn what_the_manual_calls_a_secret_is_masked_and_nothing_else() {
        let mut comment = String::new();
        let mut table = String::new();
        let mut told = Vec::new();
        for line in DEFAULTS.lines() {
            if let Some(text) = line.strip_prefix('#') {
                comment.push_str(text);
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                name.trim_end_matches(']').clone_into(&mut table);
            } else if let Some((name, _)) = line.split_once(" = ") {
                let path = match &*table {
                    "" => name.to_owned(),
                    table => format!("{table}.{name}"),
                };
                if comment.contains("ecret:") || comment.contains("A secret") {
                    told.push(path);
                }
            }
            comment.clear();
        }
        let mut masked = SECRETS.to_vec();
        masked.retain(|path| !path.contains('*'));
        told.sort();
        masked.sort_unstable();
        assert_eq!(told, masked);
    }
}
