//! What someone may do, in which namespaces.

use std::{collections::BTreeMap, str::FromStr};

use crate::protocol::Operation;

/// The name that stands for every namespace in files of tokens and of grants.
const EVERY: &str = "*";
/// The namespace whose permissions in a JWT hold for every namespace, as in Temporal's server.
const SYSTEM: &str = "temporal-system";

/// A role: the later ones include the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// To decode.
    Read,
    /// To decode and to encode.
    Write,
}

impl Access {
    /// The least role for an operation.
    pub fn needed_to(operation: Operation) -> Self {
        match operation {
            Operation::Decode => Self::Read,
            Operation::Encode => Self::Write,
        }
    }

    /// The role of that name, by Temporal's names. `worker` is missing: in Temporal's server it does not include
    /// reading.
    fn of(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "read" => Some(Self::Read),
            "write" | "admin" => Some(Self::Write),
            _ => None,
        }
    }
}

/// A text is not a right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not of the form NAMESPACE:read or NAMESPACE:write, with * for every namespace")]
pub struct NotARight(String);

/// A role in a namespace, or in all of them: `orders:read`, `*:write`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// `None` is every namespace.
    namespace: Option<String>,
    access: Access,
}

impl FromStr for Right {
    type Err = NotARight;

    fn from_str(text: &str) -> Result<Self, NotARight> {
        let right = text.rsplit_once(':').and_then(|(namespace, role)| {
            let namespace = Some(namespace).filter(|namespace| *namespace != EVERY);
            let access = Access::of(role)?;
            (namespace != Some(""))
                .then(|| Self { namespace: namespace.map(str::to_owned), access })
        });
        right.ok_or_else(|| NotARight(text.to_owned()))
    }
}

impl Right {
    /// A permission in a JWT, in the form of Temporal's default claim mapper. `None` if it gives no right here.
    pub fn of_permission(permission: &str) -> Option<Self> {
        let (namespace, role) = permission.split_once(':')?;
        let access = Access::of(role)?;
        // `*` is not special in Temporal's server, and must not be more here than it is there.
        let namespace = Some(namespace).filter(|namespace| *namespace != SYSTEM);
        Some(Self { namespace: namespace.map(str::to_owned), access })
    }
}

/// All that someone may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    everywhere: Option<Access>,
    namespaces: BTreeMap<String, Access>,
}

/// Someone who was authenticated.
#[derive(Clone, Debug)]
pub struct Identity {
    /// A name for the log: never the token.
    pub name: String,
    /// What they may do.
    pub rights: Rights,
}

/// Whether something is permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It depends on the namespace, and the request names none.
    NamespaceNeeded,
}

impl Rights {
    /// To do everything everywhere.
    pub fn all() -> Self {
        Self { everywhere: Some(Access::Write), namespaces: BTreeMap::new() }
    }

    /// Adds those of another.
    pub fn add(&mut self, other: &Self) {
        self.everywhere = self.everywhere.max(other.everywhere);
        for (namespace, access) in &other.namespaces {
            self.add_in(namespace.clone(), *access);
        }
    }

    fn add_in(&mut self, namespace: String, access: Access) {
        let known = self.namespaces.entry(namespace).or_insert(access);
        *known = access.max(*known);
    }

    /// Whether they include that access to that namespace.
    pub fn allow(&self, needed: Access, namespace: Option<&str>) -> Verdict {
        let suffices = |access: Option<&Access>| access.is_some_and(|access| *access >= needed);
        if suffices(self.everywhere.as_ref()) {
            return Verdict::Yes;
        }
        match namespace {
            Some(namespace) if suffices(self.namespaces.get(namespace)) => Verdict::Yes,
            None if !self.namespaces.is_empty() => Verdict::NamespaceNeeded,
            _ => Verdict::No,
        }
    }
}

impl Extend<Right> for Rights {
    fn extend<I: IntoIterator<Item = Right>>(&mut self, rights: I) {
        for Right { namespace, access } in rights {
            match namespace {
                None => self.everywhere = self.everywhere.max(Some(access)),
                Some(namespace) => self.add_in(namespace, access),
            }
        }
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        let mut all = Self::default();
        all.extend(rights);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(texts: &[&str]) -> Rights {
        texts.iter().map(|text| text.parse::<Right>().unwrap()).collect()
    }

    #[test]
    fn read_decodes_and_write_does_both() {
        let (decode, encode) =
            (Access::needed_to(Operation::Decode), Access::needed_to(Operation::Encode));
        let some = rights(&["orders:read", "billing:write", "billing:read"]);
        for (access, namespace, expected) in [
            (decode, Some("orders"), Verdict::Yes),
            (encode, Some("orders"), Verdict::No),
            (decode, Some("billing"), Verdict::Yes),
            (encode, Some("billing"), Verdict::Yes),
            (decode, Some("other"), Verdict::No),
            (decode, Some("ORDERS"), Verdict::No),
            (decode, Some("*"), Verdict::No),
            (decode, None, Verdict::NamespaceNeeded),
        ] {
            assert_eq!(some.allow(access, namespace), expected, "{access:?} {namespace:?}");
        }
        let every = rights(&["*:read", "orders:write"]);
        assert_eq!(every.allow(decode, None), Verdict::Yes);
        assert_eq!(every.allow(decode, Some("other")), Verdict::Yes);
        assert_eq!(every.allow(encode, Some("other")), Verdict::No);
        assert_eq!(every.allow(encode, Some("orders")), Verdict::Yes);
        assert_eq!(every.allow(encode, None), Verdict::NamespaceNeeded);
        assert_eq!(Rights::default().allow(decode, None), Verdict::No);
        assert_eq!(Rights::all().allow(encode, None), Verdict::Yes);
    }

    #[test]
    fn what_is_not_a_right_is_refused() {
        for text in ["", "orders", "orders:", ":read", "orders:worker", "orders:reader", "read"] {
            assert!(text.parse::<Right>().is_err(), "{text}");
        }
    }

    #[test]
    fn permissions_mean_what_they_mean_to_temporals_server() {
        let permission = |text| Right::of_permission(text).map(|right| Rights::from_iter([right]));
        let decode = |text, namespace| {
            permission(text).map(|rights| rights.allow(Access::Read, Some(namespace)))
        };
        assert_eq!(decode("orders:read", "orders"), Some(Verdict::Yes));
        assert_eq!(decode("orders:Admin", "orders"), Some(Verdict::Yes));
        assert_eq!(decode("temporal-system:read", "orders"), Some(Verdict::Yes));
        assert_eq!(decode("*:read", "orders"), Some(Verdict::No));
        assert_eq!(decode("orders:worker", "orders"), None);
        assert_eq!(decode("orders", "orders"), None);
        assert_eq!(decode("orders:read:x", "orders"), None);
    }
}
