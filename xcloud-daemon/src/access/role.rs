//! Roles.

use std::fmt;

/// What a caller may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends observations, and waits for parts in load tests.
    Agent,
    /// Waits for parts in load tests, and looks where their time went.
    Endpoint,
    /// Asks.
    Collector,
    /// Asks, and has load tests made.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Endpoint, Self::Collector, Self::Operator];

    /// As it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Endpoint => "endpoint",
            Self::Collector => "collector",
            Self::Operator => "operator",
        }
    }
}

/// Some roles; by default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// These.
    #[must_use]
    pub const fn of(roles: &[Role]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < roles.len() {
            bits |= 1 << roles[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Whether it is one of these.
    #[must_use]
    pub const fn has(self, role: Role) -> bool {
        self.0 & 1 << role as u8 != 0
    }

    /// Whether any role is in both.
    #[must_use]
    pub const fn meets(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> =
            Role::ALL.into_iter().filter(|role| self.has(*role)).map(Role::name).collect();
        f.write_str(&if names.is_empty() { "none".into() } else { names.join(" or ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_told_by_name() {
        let roles = Roles::of(&[Role::Agent, Role::Operator]);
        assert_eq!(roles.to_string(), "agent or operator");
        assert_eq!(Roles::default().to_string(), "none");
        assert!(roles.meets(Roles::of(&[Role::Operator, Role::Collector])));
        assert!(!roles.meets(Roles::of(&[Role::Collector])));
    }
}
