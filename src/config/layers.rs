//! Puts the layers on top of each other: defaults < file < environment < flags.

use std::path::{Path, PathBuf};

use figment::{
    Error as FigmentError, Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::{Data, Format, Toml},
    value::{Dict, Map, Num, Value},
};

use super::{DEFAULTS, Error, Raw};
use crate::lifecycle::Fault;

/// Settings in the environment start with this.
pub(super) const PREFIX: &str = "BITRIX24_GATEWAY__";

/// What the layers above the file are called in complaints.
pub(super) const ENVIRONMENT: &str = "the environment";
pub(super) const FLAGS: &str = "a flag";

/// Where settings come from. Tests make their own.
#[derive(Debug, Default, Clone)]
pub struct Sources {
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// The environment.
    pub environment: Vec<(String, String)>,
    /// Settings given as flags.
    pub flags: Flags,
}

/// Settings given as flags: path and value.
#[derive(Debug, Default, Clone)]
pub struct Flags(pub Vec<(&'static str, String)>);

impl Sources {
    /// The process's own environment, with flags and a file: the given one, else the one that the
    /// environment names.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn of_process(file: Option<PathBuf>, flags: Flags) -> Self {
        // A variable that is not Unicode cannot be one of ours.
        let environment = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let named = std::env::var_os("BITRIX24_GATEWAY_CONFIG").map(PathBuf::from);
        Self {
            file: file.or(named),
            environment,
            flags,
        }
    }
}

impl Sources {
    /// Whether whoever calls wants no colours, by the variable that programs agree upon.
    #[must_use]
    pub fn want_no_colours(&self) -> bool {
        let mut set = self.environment.iter();
        set.any(|(key, value)| key == "NO_COLOR" && !value.is_empty())
    }

    /// The task that a test wants to see panic; nobody else's build listens.
    pub(super) fn fault(&self) -> Fault {
        let named = |(key, _): &&(String, String)| key == "BITRIX24_GATEWAY_TEST_PANIC";
        let chosen = self.environment.iter().find(named);
        Fault(chosen.map(|(_, task)| task.as_str().into()))
    }
}

pub(super) fn merge(sources: &Sources) -> Result<Raw, Error> {
    stack(sources)?
        .extract()
        .map_err(|error| Error::Malformed(describe(&error)))
}

/// All layers, the strongest uppermost.
pub(super) fn stack(sources: &Sources) -> Result<Figment, Error> {
    let defaults = Figment::from(Toml::string(DEFAULTS));
    let mut figment = defaults.clone();
    if let Some(path) = &sources.file {
        // Read by ourselves: a missing file would be an empty layer.
        let text = std::fs::read_to_string(path).map_err(|cause| Error::File {
            key: "--config".to_owned(),
            path: path.clone(),
            cause,
        })?;
        figment = figment.merge(File(path, Toml::string(&text)));
    }
    let environment = sources.environment.iter().filter_map(|(key, value)| {
        let path = key
            .strip_prefix(PREFIX)?
            .to_ascii_lowercase()
            .replace("__", ".");
        let value = typed(value, defaults.find_value(&path).ok().as_ref());
        Some((path, value))
    });
    let flags = sources.flags.0.iter().map(|(path, value)| {
        let value = typed(value, defaults.find_value(path).ok().as_ref());
        ((*path).to_owned(), value)
    });
    Ok(figment
        .merge(Pairs(ENVIRONMENT, environment.collect()))
        .merge(Pairs(FLAGS, flags.collect())))
}

/// The configuration file, which complaints then name.
struct File<'a>(&'a Path, Data<Toml>);

impl Provider for File<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from("the configuration file", self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, FigmentError> {
        self.1.data()
    }
}

/// Settings as pairs of path and value.
struct Pairs(&'static str, Vec<(String, Value)>);

impl Provider for Pairs {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, FigmentError> {
        let mut all = Dict::new();
        for (path, value) in &self.1 {
            put(&mut all, path, value.clone());
        }
        Ok(Profile::Default.collect(all))
    }
}

/// Puts a value where its path leads; what stands in its way goes.
fn put(dict: &mut Dict, path: &str, value: Value) {
    let Some((first, rest)) = path.split_once('.') else {
        dict.insert(path.to_owned(), value);
        return;
    };
    let below = dict.entry(first.to_owned()).or_insert_with(empty);
    if !matches!(below, Value::Dict(..)) {
        *below = empty();
    }
    if let Value::Dict(_, members) = below {
        put(members, rest, value);
    }
}

fn empty() -> Value {
    Value::from(Dict::new())
}

/// A number or a truth value where the default is one, and else text: `42` may be a portal's name.
fn typed(text: &str, default: Option<&Value>) -> Value {
    let read = match default {
        Some(Value::Num(_, Num::F64(_))) => text.parse::<f64>().ok().map(Value::from),
        Some(Value::Num(..)) => text.parse::<u64>().ok().map(Value::from),
        Some(Value::Bool(..)) => text.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    read.unwrap_or_else(|| text.into())
}

/// The first problem as a sentence, with the file it stands in. Never the value itself: it may be a
/// secret.
pub(super) fn describe(error: &FigmentError) -> String {
    let metadata = error.metadata.as_ref();
    let file = metadata.and_then(|metadata| metadata.source.as_ref()?.file_path());
    let problem = problem(error);
    match file {
        Some(file) => format!("{}: {problem}", file.display()),
        None => problem,
    }
}

fn problem(error: &FigmentError) -> String {
    let path = error.path.join(".");
    match &error.kind {
        Kind::UnknownField(field, known) => {
            let path = if path.is_empty() {
                field.clone()
            } else if error.path.last() == Some(field) {
                path
            } else {
                format!("{path}.{field}")
            };
            match nearest(field, known) {
                Some(nearest) => {
                    let meant = match path.rsplit_once('.') {
                        Some((table, _)) => format!("{table}.{nearest}"),
                        None => nearest.to_owned(),
                    };
                    format!("`{path}` is not a setting; perhaps `{meant}` is meant")
                }
                None => format!(
                    "`{path}` is not a setting; known here: {}",
                    known.join(", ")
                ),
            }
        }
        Kind::InvalidType(_, expected) => format!("`{path}` must be {expected}"),
        Kind::UnknownVariant(_, known) => format!("`{path}` must be one of {}", known.join(", ")),
        Kind::MissingField(field) => format!("`{field}` is missing"),
        // A syntax error of TOML: its text shows the line, which may hold a secret.
        Kind::Message(text) => match text.lines().next() {
            Some(first) => format!("not valid TOML: {first}"),
            None => "not valid TOML".to_owned(),
        },
        _ if path.is_empty() => "not valid".to_owned(),
        _ => format!("`{path}` is not valid"),
    }
}

/// The name that somebody may have meant, if one is near enough.
fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    const NEAR: f64 = 0.8;
    let likeness = |name: &&str| strsim::jaro_winkler(written, name);
    let best = known
        .iter()
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)))?;
    (likeness(best) >= NEAR).then_some(*best)
}
