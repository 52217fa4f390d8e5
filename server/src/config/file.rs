//! The TOML file: `flush.interval`, `interval` in a table `[flush]`, and `flush_interval` mean the same.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;

use super::all_settings;
use super::setting::{Given, Values};

/// Reads the file at `path`. Values that flags or variables already gave win over it.
pub(super) fn read(path: &str, values: &mut Values) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return values.note(path, &error.to_string()),
    };
    let table = match text.parse::<toml::Table>() {
        Ok(table) => table,
        // Only the message: the quoted source line could hold a secret.
        Err(error) => {
            let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            return values.note(&format!("{path}, line {line}"), error.message());
        }
    };
    let mut found = BTreeMap::new();
    collect(path, "", &table, &mut found, values);
    for (name, given) in found {
        values.given.entry(name).or_insert(given);
    }
}

/// Takes the master key from systemd's folder of credentials, if it is there and no setting names another file.
pub(super) fn credential(folder: &str, values: &mut Values) {
    let file = Path::new(folder).join("castellan-master-key");
    if let Some(text) = file.to_str().filter(|_| file.is_file()) {
        let given = Given { text: text.to_owned(), origin: "CREDENTIALS_DIRECTORY".to_owned() };
        values.given.entry("master_key_file".to_owned()).or_insert(given);
    }
}

fn collect(path: &str, above: &str, table: &toml::Table, found: &mut BTreeMap<String, Given>, values: &mut Values) {
    for (key, value) in table {
        let key = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
        let name = key.replace('.', "_");
        let origin = format!("{path}, {key}");
        if all_settings(values.options).any(|setting| setting.name() == name) {
            match text_of(value) {
                Some(text) if !found.contains_key(&name) => {
                    found.insert(name, Given { text, origin });
                }
                Some(_) => values.note(&origin, "given twice under different spellings; remove one"),
                None => values.note(&origin, "must be a string, a whole number, true or false, or a list of these"),
            }
        } else if let Value::Table(table) = value {
            collect(path, &key, table, found, values);
        } else {
            values.note(&origin, "no such setting; remove it or correct its name");
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        // In the form that a flag takes.
        Value::Array(list) if list.iter().any(Value::is_table) => Some(value.to_string()),
        Value::Array(list) => Some(list.iter().map(text_of).collect::<Option<Vec<_>>>()?.join(",")),
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}
