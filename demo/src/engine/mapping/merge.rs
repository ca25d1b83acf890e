//! Two mappings to one: fields are added, and none changes its type.

use super::{
    kind::{Kind, analyzer_name},
    tree::{Leaf, Properties, Property, path_of},
};
use crate::engine::error::ApiError;

/// Adds the fields of `from` to those of `into`.
pub(super) fn merge_properties(into: &mut Properties, from: Properties, parent: &str) -> Result<(), ApiError> {
    for (name, property) in from {
        let path = path_of(parent, &name);
        match (into.get_mut(&name), property) {
            (None, property) => drop(into.insert(name, property)),
            (Some(Property::Object(old)), Property::Object(new)) => merge_properties(old, new, &path)?,
            (Some(Property::Leaf(old)), Property::Leaf(new)) => old.merge(new, &path)?,
            _ => return Err(not_an_object(&path)),
        }
    }
    Ok(())
}

// === impl Leaf ===

impl Leaf {
    fn merge(&mut self, new: Leaf, path: &str) -> Result<(), ApiError> {
        self.kind = merge_kind(self.kind, new.kind, path)?;
        for (name, kind) in new.fields {
            let kind = match self.fields.get(&name) {
                Some(old) => merge_kind(*old, kind, &path_of(path, &name))?,
                None => kind,
            };
            self.fields.insert(name, kind);
        }
        Ok(())
    }
}

fn merge_kind(old: Kind, new: Kind, path: &str) -> Result<Kind, ApiError> {
    match (old, new) {
        (Kind::Text(old), Kind::Text(new)) if old.unwrap_or_default() != new.unwrap_or_default() => {
            let (old, new) = (analyzer_name(old), analyzer_name(new));
            let change = format!("Cannot update parameter [analyzer] from [{old}] to [{new}]");
            Err(ApiError::illegal_argument(format!("Mapper for [{path}] conflicts with existing mapper:\n\t{change}")))
        }
        _ if old.name() == new.name() => Ok(new),
        _ => Err(type_change(path, old, new)),
    }
}

pub(super) fn not_an_object(path: &str) -> ApiError {
    ApiError::illegal_argument(format!("can't merge a non object mapping [{path}] with an object mapping"))
}

pub(super) fn type_change(path: &str, old: Kind, new: Kind) -> ApiError {
    ApiError::illegal_argument(format!("mapper [{path}] cannot be changed from type [{}] to [{}]", old.name(), new.name()))
}
