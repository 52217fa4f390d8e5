//! JSON Schemas of maps with known fields.

use serde_json::{Map, Value, json};

/// Builds a map's schema. For the macros of this crate.
#[derive(Debug, Default)]
pub struct Schema {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

/// The field that was added last.
#[derive(Debug)]
pub struct Property<'a> {
    schema: &'a mut Schema,
    name: &'static str,
}

impl Schema {
    /// Adds a field.
    pub fn field(&mut self, name: &'static str, doc: &str, mut schema: Value) -> Property<'_> {
        schema["description"] = doc.trim().into();
        self.properties.insert(name.to_owned(), schema);
        Property { schema: self, name }
    }

    /// The schema of the map.
    pub fn into_value(self, doc: &str) -> Value {
        json!({
            "type": "object",
            "description": doc.trim(),
            "properties": self.properties,
            "required": self.required,
        })
    }
}

impl Property<'_> {
    /// Sets the least and the most of a number.
    #[must_use]
    pub fn bounds(self, least: i64, most: i64) -> Self {
        let property = &mut self.schema.properties[self.name];
        property["minimum"] = least.into();
        property["maximum"] = most.into();
        self
    }

    /// Says if the field is always there.
    pub fn required(self, required: bool) {
        if required {
            self.schema.required.push(self.name);
        }
    }
}
